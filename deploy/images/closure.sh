#!/bin/sh
# Copies files and the libraries that they are linked with out of an image, for one that has only these.
#
#   closure.sh remember           notes what the image has now: it is not copied later
#   closure.sh copy TO FILE…      copies FILEs outside /usr/local with their libraries to the folder TO
#
# Beside them go the licences of their packages, and what dpkg knows of those (var/lib/dpkg/status.d), which programs that
# list an image's contents read.
set -eu
known=/var/lib/closure-known

case $1 in
    remember)
        find /usr /etc ! -type d | sort >"$known"
        exit
        ;;
    copy) ;;
    *)
        echo "closure.sh: remember, or copy TO FILE…" >&2
        exit 2
        ;;
esac
to=$2
shift 2
touch "$known"
work=$(mktemp -d)

# Every library by its real path, /lib being a link to /usr/lib.
for file in "$@"; do
    if [ ! -e "$file" ]; then
        echo "closure.sh: there is no $file" >&2
        exit 1
    fi
    case $file in
        /usr/local/*) ;;
        *) echo "$file" ;;
    esac
    case $file in
        *.so | *.so.* | */bin/*)
            ldd "$file" >"$work/linked"
            if grep 'not found' "$work/linked" >&2; then
                echo "closure.sh: libraries of $file are missing" >&2
                exit 1
            fi
            sed -nE 's/.*(=> |^\t)(\/[^ ]+) .*/\2/p' "$work/linked"
            ;;
    esac
done | sed 's|^/lib|/usr/lib|' | sort -u | comm -23 - "$known" >"$work/files"

while read -r file; do
    mkdir -p "$to${file%/*}"
    cp -pL "$file" "$to$file"
    dpkg-query -S "$file" "$(readlink -f "$file")" 2>/dev/null | sed 's/: .*//' || true
done <"$work/files" | sort -u >"$work/packages"

# In an image from scratch nothing makes /lib64 a link.
if [ ! -s "$known" ]; then
    for interpreter in "$to"/usr/lib64/ld-*; do
        [ -e "$interpreter" ] || continue
        mkdir -p "$to/lib64"
        mv "$interpreter" "$to/lib64/"
    done
    rmdir "$to/usr/lib64" 2>/dev/null || true
fi

mkdir -p "$to/var/lib/dpkg/status.d"
while read -r package; do
    name=${package%%:*}
    dpkg-query -s "$package" >"$to/var/lib/dpkg/status.d/$name"
    if [ -e "/usr/share/doc/$name/copyright" ]; then
        mkdir -p "$to/usr/share/doc/$name"
        cp -pL "/usr/share/doc/$name/copyright" "$to/usr/share/doc/$name/"
    fi
done <"$work/packages"
rm -rf "$work"
