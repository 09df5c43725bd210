# The boxes of containers.sh as containers of docker or podman. Sourced, with $tool, $name and $ids set.
confined=(--read-only --user 65532:65532 --cap-drop ALL --security-opt no-new-privileges --pids-limit 64)

box_begin() {
  local i
  for i in $ids; do "$tool" network create --internal "$name-link-$i" >/dev/null; done
}

box_make_volumes() {
  local volume
  for volume in "$@"; do "$tool" volume create "$name-$volume" >/dev/null; done
}

# A command that runs as root without a network, in the image with lan-certs and with all certificates: once.
box_once() {
  local volume=$1 i mounts
  shift
  mounts=(-v "$name-$volume:/$volume")
  if [[ $volume == certs ]]; then
    mounts+=(-v "$name-host:/certs/host")
    for i in $ids; do mounts+=(-v "$name-agent-$i:/certs/agent-$i"); done
  fi
  "$tool" run --rm -i --user 0:0 --network none "${mounts[@]}" --entrypoint "$1" lan-certs "${@:2}"
}

box_agent() {
  local i=$1
  shift
  "$tool" run -d --name "$name-agent-$i" --network "$name-link-$i" "${confined[@]}" --tmpfs /tmp \
    -v "$name-agent-$i:/tls:ro" -v "$name-model:/model:ro" -v "$name-state-$i:/state" lan-agent "$@" >/dev/null
}

box_address() {
  "$tool" inspect -f "{{(index .NetworkSettings.Networks \"$name-link-$1\").IPAddress}}" "$name-agent-$1"
}

box_probe() {
  "$tool" exec "$name-agent-$1" /opt/lan/bin/python -c "${@:2}"
}

box_host() {
  local i
  "$tool" create --name "$name-host" --network "$name-link-0" "${confined[@]}" --tmpfs /tmp:exec \
    -v "$name-host:/tls:ro" lan-host "$@" >/dev/null
  for i in $ids; do [[ $i == 0 ]] || "$tool" network connect "$name-link-$i" "$name-host"; done
  "$tool" start -a "$name-host" || { "$tool" rm -f "$name-host" >/dev/null; return 1; }
  "$tool" rm -f "$name-host" >/dev/null
}

box_log() {
  "$tool" logs "$name-agent-$1"
}

# One by one: podman removes nothing at all when one of several is not there.
box_end() {
  local i it
  for it in host $(for i in $ids; do echo "agent-$i"; done); do "$tool" rm -f "$name-$it"; done >/dev/null 2>&1
  for i in $ids; do "$tool" network rm "$name-link-$i"; done >/dev/null 2>&1
  for it in certs model host $(for i in $ids; do echo "agent-$i" "state-$i"; done); do
    "$tool" volume rm "$name-$it"
  done >/dev/null 2>&1
}
