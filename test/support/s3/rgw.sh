#!/bin/bash
# rgw.sh PREFIX DIR S3_PORT MON_PORT   A throw-away Ceph (mon, osd in memory, radosgw) on 127.0.0.1; keys: test / testsecret.
# Answers `ready` when it serves. Then obeys lines on stdin:
#   kill      SIGKILL of radosgw, answers `killed`
#   restart   SIGKILL of radosgw if it runs, starts it again with its data, answers `ready`
# Ends all it started and removes DIR at the end of stdin, which also comes when the parent was killed.
set -euo pipefail
X=$1/exec L=$1/root/usr/lib/x86_64-linux-gnu D=$2 PORT=$3 MON_PORT=$4
CONF="-c $D/ceph.conf"
RGW='' OSD='' MON=''

end() { # a pid that the system has given to another process meanwhile is left alone
  if [ -n "$1" ] && grep -qasF -- "$D" "/proc/$1/cmdline"; then kill -9 "$1" || true; fi
  wait "$1" || true
}
finish() {
  set +e
  for pid in $RGW $OSD $MON; do end "$pid"; done
  rm -rf "$D"
}
fail() {
  echo "$1"
  tail -n 5 "$D"/log/*.out "$D"/log/user.err
  exit 1
}
start_gateway() {
  "$X" radosgw $CONF -n client.rgw.a -f </dev/null >>"$D/log/rgw.out" 2>&1 &
  RGW=$!
  for _ in $(seq 600); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$PORT"); then echo ready; return; fi
    kill -0 $RGW || fail 'radosgw ended'
    sleep 0.05
  done
  fail 'radosgw did not come up'
}

mkdir -p "$D"/{mon,osd,run,log}
exec 2>"$D/log/sh.out"
trap finish EXIT
trap 'exit 1' HUP INT TERM
cat >"$D/ceph.conf" <<C
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = [v2:127.0.0.1:$MON_PORT/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_client_mode = crc
ms_service_mode = crc
ms_cluster_mode = crc
run_dir = $D/run
admin_socket = $D/run/\$name.asok
log_file = $D/log/\$name.log
crash_dir = $D/log
log_to_stderr = false
plugin_dir = $L/ceph
erasure_code_dir = $L/ceph/erasure-code
osd_class_dir = $L/rados-classes
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data = $D/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_initial_members = a
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.05
[osd]
osd_data = $D/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_memory_target = 1073741824
osd_mclock_skip_benchmark = true
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:$PORT tcp_nodelay=1
rgw_enable_apis = s3, admin
rgw_data = $D
# Else a request that changes a bucket waits 30 s for the caches of the gateway that was killed.
rgw_cache_enabled = false
rgw_thread_pool_size = 64
rgw_override_bucket_index_max_shards = 1
rgw_dynamic_resharding = false
rgw_enable_usage_log = false
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
C

make() { "$X" "$@" </dev/null >>"$D/log/make.out" 2>&1 || fail "$1 failed"; }
make monmaptool --create --fsid "$(awk '/^fsid/ { print $3 }' "$D/ceph.conf")" --addv a "[v2:127.0.0.1:$MON_PORT/0]" "$D/monmap"
make osdmaptool $CONF --createsimple 1 --pg-bits 0 --clobber "$D/osdmap"
make ceph-authtool --create-keyring "$D/keyring" --gen-key -n mon. --cap mon 'allow *'
make ceph-authtool "$D/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
make ceph-mon $CONF --mkfs -i a --monmap "$D/monmap" --osdmap "$D/osdmap" --keyring "$D/keyring"
"$X" ceph-mon $CONF -i a -f </dev/null >"$D/log/mon.out" 2>&1 &
MON=$!
make ceph-osd $CONF -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
"$X" ceph-osd $CONF -i 0 -f </dev/null >"$D/log/osd.out" 2>&1 &
OSD=$!
# Else the first request would wait 5 s until it is sent again.
for _ in $(seq 400); do grep -qs 'booting -> active' "$D/log/osd.0.log" && break; sleep 0.05; done
timeout 60 "$X" radosgw-admin $CONF -n client.rgw.a user create --uid=test --display-name=test --access-key=test --secret-key=testsecret \
  </dev/null >"$D/log/user.json" 2>"$D/log/user.err" || fail 'no user could be made'
start_gateway

while read -r command; do
  end "$RGW"
  RGW=''
  case $command in
    kill) echo killed ;;
    restart) start_gateway ;;
  esac
done
