//! The names of this engine's objects.

use crate::engine::InstanceId;
use crate::sha256::Sha256;

use crate::model::{CacheKey, ContentDigest, Digest, SessionId};

/// The prefix of everything a session makes; also the name of its network.
pub(super) fn prefix(session: &SessionId) -> String {
    format!("bowline-{session}")
}

/// Whether a container, as the engine lists it, has a name of the kind that sessions give.
pub(super) fn is_ours(container: &str) -> bool {
    container.trim_start_matches('/').starts_with("bowline-")
}

/// The image of a held container, which lives as long as the session.
pub(super) fn held_image(container: &str) -> String {
    format!("{HELD}{container}")
}

const HELD: &str = "bowline/held:";

/// Whether an image has such a name.
pub(super) fn is_held(image: &str) -> bool {
    image.starts_with(HELD)
}

/// The container of an instance of a service of the session.
pub(super) fn service(session: &SessionId, instance: &InstanceId) -> String {
    let InstanceId { hostname, key } = instance;
    format!("bowline-{session}-{key:.12}-{hostname}")
}

/// The image that holds what a step left.
pub(super) fn step_image(key: &Digest) -> String {
    format!("bowline/step:{key}")
}

/// The key in the name of an image that is a part of a result: of its files, or its output.
pub(super) fn key_of(image: &str) -> Option<&str> {
    image.strip_prefix("bowline/step:").or_else(|| image.strip_prefix(OUTPUT))
}

/// The image that holds what a step wrote.
pub(super) fn output_image(key: &Digest) -> String {
    format!("{OUTPUT}{key}")
}

const OUTPUT: &str = "bowline/output:";

/// Whether an image has the name of one that was added for pipelines, and is found by it later.
pub(super) fn is_added(image: &str) -> bool {
    let parts = ["platform", "loaded", "cleared", "base", "flat"];
    let kind = image.strip_prefix("bowline/").and_then(|rest| rest.split_once(':'));
    kind.is_some_and(|(kind, _)| parts.contains(&kind))
}

/// An image whose reference means another platform's. The hash covers both, as neither fits into a tag.
pub(super) fn platform_image(reference: &str, platform: &str) -> String {
    let hash = Sha256::digest(format!("{reference} {platform}"));
    format!("bowline/platform:{}", data_encoding::HEXLOWER.encode(&hash[..16]))
}

/// An image loaded from a file, by the digest of its configuration.
pub(super) fn loaded_image(id: &Digest) -> String {
    format!("bowline/loaded:{id}")
}

/// An image with a layer on top that deletes something.
pub(super) fn cleared_image(base: &str, layer: &ContentDigest) -> String {
    let hash = Sha256::digest(format!("{base} {layer}"));
    format!("bowline/cleared:{}", data_encoding::HEXLOWER.encode(&hash[..16]))
}

/// An image being exported to a file; `name` is one of the session's.
pub(super) fn exported_image(name: &str) -> String {
    format!("bowline/exported:{name}")
}

/// The volume of a cache key. Keys are free text, but names are not: the hash distinguishes keys whose names look alike.
pub(super) fn cache_volume(key: &CacheKey) -> String {
    let readable: String = key
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' })
        .take(40)
        .collect();
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(key.as_bytes())[..4]);
    format!("bowline-cache-{readable}-{hash}")
}

/// The volume that represents a service's hold of a cache volume.
pub(super) fn hold_of(volume: &str) -> String {
    format!("{volume}-held")
}

/// The volume that records that a cache volume was new when a service got it.
pub(super) fn news_of(volume: &str) -> String {
    format!("{volume}-new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_volumes_have_legal_names() {
        assert!(cache_volume(&"cargo".into()).starts_with("bowline-cache-cargo-"));
        assert!(cache_volume(&"a/b c".into()).starts_with("bowline-cache-a-b-c-"));
        assert_ne!(cache_volume(&"a/b".into()), cache_volume(&"a b".into()));
    }
}
