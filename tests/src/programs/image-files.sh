#!/bin/sh
# Takes an image of this name out of the engine, and writes it into this directory in every form that images in files have:
# `image.tar`, `both.tar` with a second one in it, and `layout`, whose one layer is compressed.
set -e
name=$1
docker save -o image.tar "$name:1"
docker save -o both.tar "$name:1" busybox:1.35
docker rmi "$name:1"
mkdir saved layout
tar -xf image.tar -C saved
blobs=layout/blobs/sha256
mkdir -p $blobs

# Makes a file a blob of the layout.
keep() {
  digest=$(sha256sum "$1" | cut -c -64)
  size=$(stat -c %s "$1")
  mv "$1" "$blobs/$digest"
}

# The descriptor of the last one.
describe() { printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s%s}' "$1" "$digest" "$size" "$2"; }

layers=
for layer in $(grep -o '"Layers":\[[^]]*' saved/manifest.json | cut -d '[' -f 2 | tr -d '"' | tr ',' ' '); do
  gzip -c "saved/$layer" >layer.gz
  keep layer.gz
  layers="$layers${layers:+,}$(describe layer.v1.tar+gzip '')"
done
cp "saved/$(grep -o '"Config":"[^"]*' saved/manifest.json | cut -d '"' -f 4)" config.json
keep config.json
printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' "$(describe config.v1+json '')" "$layers" >manifest
keep manifest
platform='{"os":"linux","architecture":"'$(docker version -f '{{.Server.Arch}}')'"}'
named=',"annotations":{"org.opencontainers.image.ref.name":"v1"},"platform":'$platform
printf '{"schemaVersion":2,"manifests":[%s]}' "$(describe manifest.v1+json "$named")" >layout/index.json
echo '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout
rm -r saved
