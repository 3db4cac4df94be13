# For scripts that start servers: free ports, waiting, and ending what was started and nothing else. To be sourced.

# A port that nobody listens on, and neither on the one 10,000 above (SeaweedFS takes that too). Below the ephemeral range,
# and none of those in the list `taken`.
free_port() {
    local port try
    for try in $(seq 1 200); do
        port=$((10000 + RANDOM % 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + 10000))") 2>/dev/null; then
            case " ${taken[*]-} " in *" $port "*) continue ;; esac
            echo "$port"
            return
        fi
    done
    echo "no free port" >&2
    return 1
}

# wait_for SECONDS COMMAND...
wait_for() {
    local tries=$(($1 * 10))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.1
    done
}

# The time at which a process began: with its number it names one process for ever.
began() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }

# remember FOLDER PROCESS: a file named by its number that holds when it began.
remember() { began "$2" >"$1/$2"; }

# kill_remembered FILE...: ends those processes; a number that was given to somebody else meanwhile is left alone.
kill_remembered() {
    local file pid
    for file in "$@"; do
        [ -e "$file" ] || continue
        pid=$(basename "$file")
        if [ -r "/proc/$pid/stat" ] && [ "$(began "$pid")" = "$(cat "$file")" ]; then
            kill -9 "$pid" 2>/dev/null || true
        fi
    done
}
