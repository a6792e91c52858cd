//! Links that steps make and images bring, and where they lead: nowhere but into the container's own file system.

use std::path::Path;

use bowline::{CacheVolume, Container, Exec, Secret};
use bowline_tests::{busybox, nonce};

/// A directory of this machine that no container is given.
fn host_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("held")).unwrap();
    for file in ["x", "held/x"] {
        std::fs::write(directory.path().join(file), "of the machine\n").unwrap();
    }
    directory
}

/// What another container is shown where a directory and a file of one are mounted read-only.
async fn mounted(from: &Container) -> String {
    let look = busybox()
        .mount_readonly("/in", from.directory("/out"))
        .mount_readonly("/in-file", from.file("/file"))
        .shell("ls /in; cat /in/x /in-file; cat /in/link 2>/dev/null || echo nowhere");
    look.stdout().await.unwrap()
}

#[bowline::test]
async fn a_read_only_mount_shows_a_container_s_own_files_whatever_links_it_has() {
    let host = host_directory();
    let at = host.path().display();
    // Where an engine might keep what it mounts: a directory with a link in it, and a link to one of the machine's.
    for (number, hide) in
        [format!("mkdir /bowline; ln -s {at} /bowline/held"), format!("ln -s {at} /bowline")]
            .iter()
            .enumerate()
    {
        let make = format!("mkdir /out; echo own > /out/x; echo own > /file; ln -s {at}/x /out/link; {hide}");
        let made = busybox().shell(make);
        assert_eq!(mounted(&made).await, "link\nx\nown\nown\nnowhere\n", "{hide}");
        let file = host.path().join(format!("{number}.tar"));
        made.export_image(&file).await.unwrap();
        let image = Container::from_image(format!("docker-archive:{}", file.display()));
        assert_eq!(mounted(&image).await, "link\nx\nown\nown\nnowhere\n", "an image: {hide}");
    }
}

/// The names of all that is below a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        names.push(entry.path().strip_prefix("/").unwrap().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            names.extend(self::names(&entry.path()));
        }
    }
    names.sort();
    names
}

#[bowline::test]
async fn what_is_put_below_a_link_stays_in_the_container() {
    let host = host_directory();
    let at = host.path().display();
    for name in ["a", "b", "c", "d", "e"] {
        std::fs::create_dir(host.path().join(name)).unwrap();
        std::fs::write(host.path().join(name).join("of-the-machine"), "").unwrap();
    }
    let before = names(host.path());
    // The container has directories of these names, too.
    let links = busybox().shell(format!("for l in a b c d e; do mkdir -p {at}/$l; ln -s {at}/$l /$l; done"));
    let cache = CacheVolume::new(format!("links-{}", nonce()));
    let used = Container::from_container(&links)
        .with_file("/a/placed", "placed\n")
        .copy("/b/copied/", busybox().shell("mkdir /o; echo copied > /o/y").directory("/o"))
        .mount("/c", &cache)
        .mount("/d/secret", Secret::value("of-links", "hidden"))
        .tmpfs("/e/memory")
        .exec(Exec::shell("echo written").stdout_to("/a/written"))
        .shell(format!("cat /a/placed /b/copied/y /a/written; wc -c < /d/secret; find {at} -name of-*"));
    assert_eq!(used.stdout().await.unwrap(), "placed\ncopied\nwritten\n6\n");
    assert_eq!(names(host.path()), before, "nothing was made on the machine");
}
