//! Images made of other images.

use super::super::facts::facts;
use super::super::{import, names, rewrite};
use super::*;
use crate::engine::{ImageConfig, ImageSpec};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_dressed_with_its_layers_or_without_them() {
    let engine = engine!();
    let base = engine.image("busybox:1.35").await;
    let config = ImageConfig { workdir: "/srv".to_owned(), ..ImageConfig::default() };
    let made = ImageSpec { snapshot: base.snapshot, config, platform: base.platform };
    let shared = &engine.shared;
    let facts = facts(shared, &made.snapshot.0).await.unwrap();
    let document = made.document(facts.layers.clone()).unwrap();
    let [quick, whole] = [(); 2].map(|()| names::exported_image(&shared.number('x')));
    let quickly = import::load_config(shared, facts.layers.len(), &quick, &document).await.unwrap();
    let nothing = std::collections::HashMap::new();
    let wholly = rewrite::rewrite(shared, &facts.id, &whole, nothing, |_| Ok(document)).await.unwrap();
    assert_eq!(quickly, wholly, "the same layers and the same configuration");
    for name in [&quick, &whole] {
        shared.cleaner.remove_image(name).await;
    }
    engine.close().await.unwrap();
}
