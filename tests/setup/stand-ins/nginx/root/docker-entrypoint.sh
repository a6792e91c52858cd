#!/bin/sh
# Like the official image's: runs what is in /docker-entrypoint.d, then the command.
set -e

if [ "$1" = nginx ] || [ "$1" = nginx-debug ]; then
  for file in /docker-entrypoint.d/*; do
    case $file in
      *.envsh)
        # shellcheck source=/dev/null
        [ ! -x "$file" ] || . "$file"
        ;;
      *.sh) [ ! -x "$file" ] || "$file" ;;
    esac
  done
fi
exec "$@"
