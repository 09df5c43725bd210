#!/usr/bin/env bash
# Build the images, let N agents and a host play as containers, renew their certificates, play again, report.
set -euo pipefail

usage() {
  cat <<'END'
usage: deploy/containers.sh --model FILE [--map MAP] [--agents N] [--episodes E] [--tool TOOL] [--base IMAGE]
                            [-- FLAGS OF THE BUILD]

Builds the images of deploy/Containerfile, makes certificates, and starts N agents and a game host in containers: no
root, no capabilities, a read-only file system, and for every agent a network with the host alone. They play
E battles over mutual TLS; all certificates are renewed; they play E battles more. Then it says who won, and removes
what it started; the images stay.

  --model FILE    the agents' model, from lan-export
  --map MAP       the map that it was trained for (default 3m)
  --agents N      how many agents the map has (default 3)
  --episodes E    battles before the renewal, and after it (default 4)
  --tool TOOL     docker, podman or buildah (default: the first of these that works)
  --base IMAGE    an image with Python 3.11 or newer and its venv (default: that of deploy/Containerfile)

With buildah, which starts no containers of this kind, the agents run in namespaces that unshare makes of the images.
That needs root, or `buildah unshare deploy/containers.sh ...`, with nsenter, ip and setpriv.
Exit code: 0 all battles were played without a fallback, 1 they were not, 2 it could not begin.
END
}

refuse() {
  echo "containers.sh: error: $*" >&2
  exit 2
}

model='' map=3m n=3 episodes=4 tool='' base=''
while (($#)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    --model | --map | --agents | --episodes | --tool | --base) (($# > 1)) || refuse "$1 needs a value" ;;&
    --model) model=$2 ;;
    --map) map=$2 ;;
    --agents) n=$2 ;;
    --episodes) episodes=$2 ;;
    --tool) tool=$2 ;;
    --base) base=$2 ;;
    *) refuse "$1 is no flag of this script; see --help" ;;
  esac
  shift 2
done
build_flags=("$@")
[[ -n $model ]] || refuse "--model FILE is needed: lan-export makes one"
[[ -f $model && -r $model ]] || refuse "--model $model: there is no such file, or it cannot be read"
[[ $n =~ ^[1-9][0-9]{0,2}$ ]] && ((n <= 250)) || refuse "--agents $n: 1 to 250 are possible"
[[ $episodes =~ ^[1-9][0-9]{0,5}$ ]] || refuse "--episodes $episodes: a number above 0 is needed"

works() {
  command -v "$1" >/dev/null && timeout 30 "$1" info >/dev/null 2>&1
}
if [[ -z $tool ]]; then
  for tool in docker podman buildah none; do works "$tool" && break; done
  [[ $tool != none ]] || refuse "neither docker, podman nor buildah works here; install one, or start docker's daemon"
fi
case $tool in docker | podman | buildah) ;; *) refuse "--tool $tool: docker, podman or buildah is needed" ;; esac
works "$tool" || refuse "--tool $tool: '$tool info' fails here"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=lan-try-$$
[[ -z $base ]] || build_flags+=(--build-arg "BASE=$base")
[[ $tool == docker ]] || build_flags+=(--ignorefile "$here/Containerfile.dockerignore")
if [[ $tool == buildah ]]; then source "$here/containers-buildah.sh"; else source "$here/containers-engine.sh"; fi

# What follows speaks of boxes: box_begin, box_make_volumes, box_once, box_agent, box_host, box_probe, box_log, box_end.
trap 'status=$?; trap - EXIT INT TERM; box_end || true; exit $status' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ids=$(seq 0 $((n - 1)))
for image in agent host certs; do
  echo "== building lan-$image with $tool"
  "$tool" build -f "$here/Containerfile" --target "$image" -t "lan-$image" "${build_flags[@]}" "$here/.." \
    || refuse "the image lan-$image cannot be built; is the base image there? See --base"
done
box_begin

# The authority's own folder is a volume too, so that it can renew.
make_certificates='/opt/lan/bin/lan-certs --out /certs --agents "$1" --folders $2 && chown -R 65532:65532 /certs'
echo "== certificates for the host and $n agents"
box_make_volumes certs model host $(for i in $ids; do echo "agent-$i" "state-$i"; done)
box_once certs sh -c "$make_certificates" sh "$n" ''
box_once model sh -c 'cat > /model/agent.onnx && chmod 644 /model/agent.onnx' <"$model"

echo "== $n agents"
agent_flags=(--model /model/agent.onnx --listen 0.0.0.0:50051 --state-dir /state
  --tls-cert /tls/tls.crt --tls-key /tls/tls.key --tls-ca /tls/ca.crt)
for i in $ids; do box_agent "$i" "${agent_flags[@]}" --agent-id "$i"; done
addresses=$(for i in $ids; do echo "$(box_address "$i"):50051"; done | paste -sd,)

probe='
import os, socket, sys
status = dict(line.split(":\t", 1) for line in open("/proc/1/status").read().splitlines())
rights = [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")]
found = {
    "user 65532": status["Uid"].split() == ["65532"] * 4,
    "no capabilities": not any(rights),
    "no new privileges": status["NoNewPrivs"] == "1",
    "read-only file system": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
    "its own key only": sorted(os.listdir("/tls")) == ["ca.crt", "tls.crt", "tls.key"] and not os.path.exists("/certs"),
}
for address in sys.argv[1:]:
    with socket.socket() as other:
        other.settimeout(2)
        found["no way to " + address] = other.connect_ex((address, 50051)) != 0
for what, is_so in found.items():
    print("  " + what + ": " + ("yes" if is_so else "NO"))
sys.exit(not all(found.values()))
'
echo "== agent 0, seen from inside"
others=()
((n == 1)) || others=("$(box_address 1)")
box_probe 0 "$probe" "${others[@]}" || { echo "containers.sh: agent 0 is not confined as it must be" >&2; exit 1; }

failed=0
play() {
  local report won played fallbacks
  report=$(box_host --map "$map" --env sim --agents "$addresses" --episodes "$episodes" --connect-timeout-s 60 \
    --tls-cert /tls/tls.crt --tls-key /tls/tls.key --tls-ca /tls/ca.crt --json) || { failed=1; return; }
  won=$(sed -n 's/.*"won": \([0-9]*\).*/\1/p' <<<"$report")
  played=$(sed -n 's/.*"episodes": \([0-9]*\).*/\1/p' <<<"$report")
  fallbacks=$(sed -n 's/.*"fallbacks": \([0-9]*\), "latency.*/\1/p' <<<"$report")
  echo "played $played of $episodes battles, won $won; steps without an answer: $fallbacks"
  [[ $played == "$episodes" && $fallbacks == 0 ]] || failed=1
}
echo "== $episodes battles of $map"
play
echo "== new certificates, and $episodes battles more"
box_once certs sh -c "$make_certificates" sh "$n" --renew
play
renewed=0
for i in $ids; do
  if box_log "$i" 2>&1 | grep -q 'certificate read again'; then renewed=$((renewed + 1)); fi
done
echo "agents that showed their new certificate: $renewed of $n"
((renewed == n)) || failed=1
if ((failed)); then
  echo "containers.sh: not all was well; the agents' logs:" >&2
  for i in $ids; do box_log "$i" 2>&1 | tail -n 20 | sed "s/^/agent $i: /" >&2; done
fi
exit "$failed"
