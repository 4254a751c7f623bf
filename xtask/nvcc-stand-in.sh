#!/bin/sh
# Stands in for nvcc where there is no CUDA: names a release and writes empty outputs, which is all
# that type-checking needs.
case " $* " in
*" --version "*)
    echo "nvcc: NVIDIA (R) Cuda compiler driver"
    echo "Cuda compilation tools, release 13.0, V13.0.0"
    exit 0
    ;;
esac
out=""
dir="."
while [ $# -gt 0 ]; do
    case "$1" in
    -o | --output-file) out="$2"; shift ;;
    --output-directory | -odir) dir="$2"; shift ;;
    *.cu) source="$1" ;;
    esac
    shift
done
if [ -n "$out" ]; then
    : >"$out"
elif [ -n "${source:-}" ]; then
    : >"$dir/$(basename "${source%.cu}").ptx"
fi
