#!/usr/bin/env bash
# Real Kafka and QuestDB without Docker: services.sh start|stop|kill|status [kafka] [questdb]
#
# Settings, by environment: SERVICES_DIR (data, logs, pids), KAFKA_PORT, KAFKA_CONTROLLER_PORT, QUESTDB_PORT (HTTP),
# QUESTDB_PG_PORT, QUESTDB_HEALTH_PORT. `start` does nothing for a server that runs; `stop` ends only what `start` started.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
dir=${SERVICES_DIR:-$target/services}
classpaths=${SERVICES_CLASSPATHS:-$target/services}
kafka_port=${KAFKA_PORT:-9092}
controller_port=${KAFKA_CONTROLLER_PORT:-9093}
http_port=${QUESTDB_PORT:-9000}
pg_port=${QUESTDB_PG_PORT:-8812}
health_port=${QUESTDB_HEALTH_PORT:-9003}

action=${1:-}
shift || true
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(kafka questdb)

fail() { echo "services: $*" >&2; exit 1; }

running() { # NAME: whether the process we started still lives
    [ -f "$dir/$1.pid" ] && [ -d "/proc/$(cat "$dir/$1.pid")" ] && grep -qa java "/proc/$(cat "$dir/$1.pid")/cmdline"
}

classpath() { # NAME: downloads the server once
    local file=$classpaths/$1.cp
    mkdir -p "$classpaths"
    # Several may start at the same time.
    exec 9>"$file.lock"
    flock 9
    if [ ! -s "$file" ] || [ "$here/$1.pom.xml" -nt "$file" ]; then
        command -v mvn >/dev/null || fail "$1 needs Maven (mvn) to be downloaded"
        mvn -q -B -f "$here/$1.pom.xml" dependency:build-classpath -Dmdep.outputFile="$file.tmp" >"$file.log" 2>&1 ||
            { cat "$file.log" >&2; fail "Maven could not fetch $1"; }
        mv "$file.tmp" "$file"
    fi
    exec 9>&-
    cat "$file"
}

open_port() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

wait_for() { # NAME WHAT...: until ready, the process has died, or 60 s are over
    local name=$1
    shift
    for _ in $(seq 600); do
        "$@" && return 0
        # Just started, it may not be called java yet.
        running "$name" || { sleep 0.5 && running "$name"; } || { tail -n 20 "$dir/$name.log" >&2; fail "$name ended while starting, see $dir/$name.log"; }
        sleep 0.1
    done
    fail "$name is not ready after 60 s, see $dir/$name.log"
}

start_kafka() {
    local cp
    cp=$(classpath kafka)
    ! open_port "$kafka_port" || fail "port $kafka_port is taken; set KAFKA_PORT"
    mkdir -p "$dir/kafka"
    cat >"$dir/kafka.properties" <<-EOF
	process.roles=broker,controller
	node.id=1
	controller.quorum.voters=1@127.0.0.1:$controller_port
	listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port
	advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
	controller.listener.names=CONTROLLER
	log.dirs=$dir/kafka
	offsets.topic.replication.factor=1
	offsets.topic.num.partitions=1
	transaction.state.log.replication.factor=1
	transaction.state.log.min.isr=1
	share.coordinator.state.topic.replication.factor=1
	share.coordinator.state.topic.min.isr=1
	group.initial.rebalance.delay.ms=0
	auto.create.topics.enable=false
	EOF
    cat >"$dir/log4j2.properties" <<-EOF
	rootLogger.level=info
	rootLogger.appenderRef.out.ref=out
	appender.out.type=Console
	appender.out.name=out
	appender.out.layout.type=PatternLayout
	appender.out.layout.pattern=%d %p %m%n
	EOF
    if [ ! -f "$dir/kafka/meta.properties" ]; then
        java -cp "$cp" kafka.tools.StorageTool format -t "$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | head -c 22)" \
            -c "$dir/kafka.properties" >"$dir/kafka.log" 2>&1 || { cat "$dir/kafka.log" >&2; fail "Kafka could not format $dir/kafka"; }
    fi
    : >"$dir/kafka.log"
    setsid java -Xmx512m -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$cp" kafka.Kafka "$dir/kafka.properties" \
        >>"$dir/kafka.log" 2>&1 </dev/null &
    echo $! >"$dir/kafka.pid"
    wait_for kafka grep -q "Kafka Server started" "$dir/kafka.log"
}

# Small pages: prism has wide tables, and each column of each partition takes a page.
start_questdb() {
    local cp
    cp=$(classpath questdb)
    ! open_port "$http_port" || fail "port $http_port is taken; set QUESTDB_PORT"
    mkdir -p "$dir/questdb"
    # One that was killed while it made its table of exports would refuse every export until somebody removes it.
    for half in "$dir"/questdb/db/sys.*/; do
        [ ! -d "$half" ] || [ -f "$half/_txn" ] || rm -rf "$half"
    done
    QDB_HTTP_BIND_TO=127.0.0.1:$http_port QDB_PG_NET_BIND_TO=127.0.0.1:$pg_port \
        QDB_HTTP_MIN_NET_BIND_TO=127.0.0.1:$health_port QDB_LINE_TCP_ENABLED=false QDB_LINE_UDP_ENABLED=false \
        QDB_TELEMETRY_ENABLED=false QDB_CAIRO_WRITER_DATA_APPEND_PAGE_SIZE=262144 \
        setsid java -Djava.io.tmpdir="$dir/questdb" -Xms256m -Xmx1g -cp "$cp" io.questdb.ServerMain -d "$dir/questdb" >"$dir/questdb.log" 2>&1 </dev/null &
    echo $! >"$dir/questdb.pid"
    # A server that wants a login answers 401.
    wait_for questdb curl -s -o /dev/null "http://127.0.0.1:$health_port/status"
    wait_for questdb curl -s -o /dev/null "http://127.0.0.1:$http_port/exec?query=SELECT%201"
}

port() {
    case $1 in
        kafka) echo "$kafka_port" ;;
        questdb) echo "$http_port" ;;
        *) fail "unknown service $1, known are kafka and questdb" ;;
    esac
}

for name in "${names[@]}"; do
    at="$name://127.0.0.1:$(port "$name")"
    case $action in
        start)
            command -v java >/dev/null || fail "$name needs Java 17 or newer"
            mkdir -p "$dir"
            running "$name" || "start_$name"
            echo "$name runs at $at, data in $dir/$name"
            ;;
        stop | kill)
            if running "$name"; then
                pid=$(cat "$dir/$name.pid")
                [ "$action" = stop ] && kill "$pid" || kill -9 "$pid"
                # A process that is dying holds its port while any of its threads is left.
                for _ in $(seq 300); do
                    running "$name" || open_port "$(port "$name")" || break
                    sleep 0.1
                done
                echo "$name stopped"
            fi
            rm -f "$dir/$name.pid"
            ;;
        status) running "$name" && echo "$name runs at $at" || echo "$name does not run" ;;
        *) fail "usage: services.sh start|stop|kill|status [kafka] [questdb]" ;;
    esac
done
