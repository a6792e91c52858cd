//! Bind mounts by paths on the engine's machine.

use super::super::own::Own;
use super::super::{mount, place};
use super::*;
use crate::model::{EntryKind, Existing};

fn archive(kind: tar::EntryType, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(0);
    let mut archive = tar::Builder::new(Vec::new());
    if kind == tar::EntryType::Symlink {
        archive.append_link(&mut header, "held", link).unwrap();
    } else {
        archive.append_data(&mut header, "held", std::io::empty()).unwrap();
    }
    archive.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_never_bound() {
    let engine = engine!();
    for (entry, kind, is_bound) in [
        (tar::EntryType::Directory, EntryKind::Directory, true),
        (tar::EntryType::Regular, EntryKind::File, true),
        (tar::EntryType::Regular, EntryKind::Directory, false),
        (tar::EntryType::Symlink, EntryKind::Directory, false),
        (tar::EntryType::Symlink, EntryKind::File, false),
        (tar::EntryType::Fifo, EntryKind::File, false),
    ] {
        let image = mount::empty_image(&engine.shared).await.unwrap();
        let holder = mount::hold(&engine.shared, &image, None).await.unwrap();
        let archive = futures_util::stream::iter([Ok(archive(entry, "/etc"))]);
        place::upload(&engine.shared, &holder, mount::DIRECTORY, Existing::Stays, archive).await.unwrap();
        let held = mount::held(&engine.shared, holder, kind).await;
        assert_eq!(held.is_ok(), is_bound, "{entry:?} as {kind:?}");
    }
    engine.close().await.unwrap();
    assert_eq!(left(&engine).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_ours_is_known_by_what_it_is() {
    let engine = engine!();
    let client = &engine.shared.client;
    let repository: &'static str =
        Box::leak(format!("bowline/test-{}", engine.shared.session).into_boxed_str());
    let layer = || archive(tar::EntryType::Directory, "");
    let made = Own::new(repository, "test", layer()).ready(client).await.unwrap();
    assert_eq!(Own::new(repository, "test", layer()).ready(client).await.unwrap(), made);

    // Another image under its name is not taken for it.
    let images = client.list_images(None::<bollard::query_parameters::ListImagesOptions>).await.unwrap();
    let mut names = images.iter().flat_map(|image| &image.repo_tags);
    let name = names.find(|name| name.starts_with(repository)).unwrap().clone();
    let tag = name.rsplit_once(':').unwrap().1;
    let as_ours = bollard::query_parameters::TagImageOptionsBuilder::default().repo(repository).tag(tag);
    client.tag_image(BUSYBOX, Some(as_ours.build())).await.unwrap();
    let again = Own::new(repository, "test", layer()).ready(client).await.unwrap();
    let found = client.inspect_image(&again).await.unwrap();
    assert_eq!(found.root_fs.and_then(|fs| fs.layers).map(|layers| layers.len()), Some(1));
    assert_ne!(Some(&again), client.inspect_image(BUSYBOX).await.unwrap().id.as_ref());
    engine.shared.cleaner.remove_image(&name).await;
    engine.shared.cleaner.remove_image(&made).await;
    engine.close().await.unwrap();
}
