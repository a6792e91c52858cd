#!/bin/sh
# Like the official image's: fills variables into /etc/nginx/templates/*.template. Only variables that
# exist are replaced, so that nginx's own ($host, $uri, …) stay.
set -e

[ -d /etc/nginx/templates ] || exit 0
# shellcheck disable=SC2016 # envsubst's own placeholders
names=$(awk 'BEGIN { for (name in ENVIRON) printf "${%s} ", name }')
find /etc/nginx/templates -type f -name '*.template' | while read -r template; do
  relative=${template#/etc/nginx/templates/}
  target=/etc/nginx/conf.d/${relative%.template}
  mkdir -p "$(dirname "$target")"
  envsubst "$names" <"$template" >"$target"
done
