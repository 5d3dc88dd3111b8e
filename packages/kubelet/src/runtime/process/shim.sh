#!/bin/sh
# Runs one container: `sh shim.sh FOLDER [stdin|'' [SCRIPT]]` executes FOLDER/run in a session of its own, with an input
# that can be attached to, and a terminal that script(1) at the path SCRIPT makes; writes its exit status to FOLDER/exit, and keeps its output in FOLDER/stdout.N and FOLDER/stderr.N until the kubelet has moved it to the log.
# It needs no kubelet to go on, so a kubelet may die and come back. Files appear in this order: pid (by run: its line of
# /proc/PID/stat), exit (a line), drained (all output is in the segments).
cd "$1" || exit 1
umask 077
rm -f stdout.pipe stderr.pipe
mkfifo stdout.pipe stderr.pipe || exit 1

# Copies each read to a segment at once; a new segment every 1024 reads, so that the kubelet can delete what it has moved.
spool() {
  n=0
  while :; do
    dd bs=16384 count=1024 of="$1.$n" 2>/dev/null
    [ -s "$1.$n" ] || break
    n=$((n + 1))
  done
}
spool stdout <stdout.pipe &
spool stderr <stderr.pipe &

input=/dev/null
holder=
if [ "$2" = stdin ]; then
  rm -f stdin.pipe
  mkfifo stdin.pipe || exit 1
  # Holds the pipe open while nobody is attached: killing it ends the input.
  sleep 2147483647 >stdin.pipe &
  holder=$!
  echo "$holder" >holder
  input=stdin.pipe
fi

# In the foreground, as background commands of a shell ignore SIGINT and SIGQUIT.
if [ -n "$3" ]; then
  "$3" -q -e -f -c 'exec /bin/sh ./run' /dev/null <"$input" >stdout.pipe 2>stderr.pipe
else
  setsid /bin/sh ./run <"$input" >stdout.pipe 2>stderr.pipe
fi
echo $? >exit
[ -z "$holder" ] || kill -9 "$holder" 2>/dev/null
rm -f stdout.pipe stderr.pipe stdin.pipe
wait
: >drained
