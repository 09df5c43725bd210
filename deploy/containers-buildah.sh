# The boxes of containers.sh as namespaces around images that buildah has built. Sourced, with $tool, $name and $ids set.
# A volume is a folder below $work; a network is a pair of interfaces, one end in the agent's box, one in the host's.
((EUID == 0)) || refuse "with buildah, run it as root: buildah unshare $0 ..."
for needed in unshare nsenter ip setpriv mount pgrep; do
  command -v "$needed" >/dev/null || refuse "with buildah, $needed is needed too"
done
declare -A mounted=() containers=() agents=() nets=()
work=''

box_begin() {
  local image
  work=$(mktemp -d)
  chmod 711 "$work"
  for image in agent host certs; do
    containers[$image]=$(buildah from --name "$name-$image" "localhost/lan-$image")
    mounted[$image]=$(buildah mount "$name-$image")
    mkdir -p "${mounted[$image]}"/{proc,dev,tmp}
  done
  new_net host
}

box_make_volumes() {
  local volume
  for volume in "$@"; do mkdir "$work/$volume"; done
  chown 65532:65532 "$work"/state-*
}

# A network namespace, held by a process that sleeps.
new_net() {
  unshare --net sleep infinity &
  nets[$1]=$!
  until [[ $(readlink "/proc/${nets[$1]}/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.05; done
  nsenter --net="/proc/${nets[$1]}/ns/net" ip link set lo up
}

# words_for NET IMAGE USER TMPFS FOLDER:PLACE:MODE ... -- COMMAND: sets `words`, which run the command in new namespaces,
# as process 1 of the image.
words_for() {
  local net=$1 root=${mounted[$2]} user=$3 tmpfs=$4 binds=() drop=()
  shift 4
  while [[ $1 != -- ]]; do binds+=("$1"); shift; done
  shift
  [[ $user == 0 ]] || drop=(--no-new-privs --bounding-set=-all --inh-caps=-all)
  words=(nsenter --net="/proc/${nets[$net]}/ns/net" unshare --mount --pid --ipc --uts --fork sh -ec '
    root=$1 tmpfs=$2
    shift 2
    mount --rbind "$root" "$root"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t tmpfs -o "mode=1777,nosuid,nodev,$tmpfs" tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755,nosuid,noexec tmpfs "$root/dev"
    for device in null zero urandom random; do
      : >"$root/dev/$device"
      mount --bind "/dev/$device" "$root/dev/$device"
    done
    while [ "$1" != -- ]; do
      folder=${1%%:*} mode=${1##*:} place=${1#*:}
      place=$root${place%:*}
      mkdir -p "$place"
      mount --bind "$folder" "$place"
      mount -o "remount,bind,$mode,nosuid,nodev" "$place"
      shift
    done
    shift
    mount -o remount,bind,ro "$root"
    cd "$root"
    exec env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 chroot "$root" "$@"
  ' sh "$root" "$tmpfs" "${binds[@]}" -- setpriv --reuid "$user" --regid "$user" --clear-groups "${drop[@]}" "$@")
}

box_once() {
  local volume=$1 i binds
  shift
  binds=("$work/$volume:/$volume:rw")
  if [[ $volume == certs ]]; then
    for i in host $(for i in $ids; do echo "agent-$i"; done); do
      mkdir -p "$work/certs/$i"
      binds+=("$work/$i:/certs/$i:rw")
    done
  fi
  words_for host certs 0 noexec "${binds[@]}" -- "$@"
  "${words[@]}"
}

box_agent() {
  local i=$1
  shift
  new_net "agent-$i"
  nsenter --net="/proc/${nets[host]}/ns/net" ip link add "link-$i" type veth peer name eth0 netns "${nets[agent-$i]}"
  nsenter --net="/proc/${nets[host]}/ns/net" ip address add "10.99.$i.1/30" dev "link-$i"
  nsenter --net="/proc/${nets[host]}/ns/net" ip link set "link-$i" up
  nsenter --net="/proc/${nets[agent-$i]}/ns/net" ip address add "10.99.$i.2/30" dev eth0
  nsenter --net="/proc/${nets[agent-$i]}/ns/net" ip link set eth0 up
  words_for "agent-$i" agent 65532 noexec "$work/agent-$i:/tls:ro" "$work/model:/model:ro" "$work/state-$i:/state:rw" \
    -- /opt/lan/bin/lan-agent "$@"
  "${words[@]}" >"$work/log-$i" 2>&1 </dev/null &
  agents[$i]=$!
}

box_address() {
  echo "10.99.$1.2"
}

# The process that unshare waits for: the agent.
box_process() {
  pgrep -P "${agents[$1]}"
}

box_probe() {
  nsenter -t "$(box_process "$1")" --all --root --wd setpriv --reuid 65532 --regid 65532 --clear-groups \
    /opt/lan/bin/python -c "${@:2}"
}

box_host() {
  words_for host host 65532 exec "$work/host:/tls:ro" -- /opt/lan/bin/lan-play "$@"
  "${words[@]}"
}

box_log() {
  cat "$work/log-$1"
}

box_end() {
  local image i
  for i in "${!agents[@]}"; do kill -KILL "$(box_process "$i")"; done 2>/dev/null
  ((${#agents[@]} == 0)) || wait "${agents[@]}" 2>/dev/null
  ((${#nets[@]} == 0)) || { kill "${nets[@]}"; wait "${nets[@]}"; } 2>/dev/null
  for image in "${!containers[@]}"; do buildah rm "$name-$image" >/dev/null; done
  [[ -z $work ]] || rm -rf "$work"
}
