# The last step leaves a mark, so that the driver need not ask; the run's own times are read afterwards.
case $1 in
    *'"step_id":"c"'*)
        key=${1#*'"k":"'}
        echo "e ${key%%'"'*} 0 $$" >>"$BENCH_MARKS"
        ;;
esac
echo '{"done": true}'
