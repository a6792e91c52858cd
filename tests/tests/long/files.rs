//! Large directories: what has not changed is seen as unchanged in about a second, and in little memory.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The hash, the number of files, milliseconds, KiB.
fn read(directory: &Path, home: &Path) -> (String, [u64; 3]) {
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .arg("read-files")
        .envs([("DIRECTORY", directory), ("BOWLINE_HOME", home)])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let (hash, numbers) =
        text.split_once(' ').unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let numbers: Vec<u64> = numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
    (hash.to_owned(), numbers.try_into().unwrap())
}

#[test]
fn of_600_000_files_only_those_that_have_changed_are_read() {
    const FILES: u64 = 600_000;
    let root = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    for folder in 0..600 {
        let folder = root.path().join(format!("folder-{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..1000 {
            fs::write(folder.join(format!("file-{file}.txt")), format!("{}/{file}", folder.display()))
                .unwrap();
        }
    }
    // Nothing is trusted that was written less than two seconds before it was read.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (hash, first) = read(root.path(), home.path());
    let again: Vec<_> = (0..5).map(|_| read(root.path(), home.path())).collect();
    let edited = root.path().join("folder-7/file-7.txt");
    let contents = fs::read(&edited).unwrap();
    fs::write(&edited, "edited").unwrap();
    let (edited_hash, after_an_edit) = read(root.path(), home.path());
    fs::write(&edited, contents).unwrap();
    let (back_hash, _) = read(root.path(), home.path());
    println!("files, ms, KiB: first {first:?}; again {again:?}; after an edit {after_an_edit:?}");
    assert!(again.iter().all(|(again, [files, ..])| *again == hash && *files == FILES));
    assert!(edited_hash != hash && back_hash == hash);
    let best = again.iter().map(|(_, [_, took, _])| *took).min().unwrap();
    assert!(best * 2 < first[1], "{best} ms against {} ms", first[1]);
    let most = again.iter().map(|(_, [.., memory])| *memory).max().unwrap();
    assert!(most < 128 * 1024, "{most} KiB");
}
