# The label of a parcel, as text: of its number, the check digit, whom it goes to, and the price.
# The input is JSON on one line; whoever has jq will rather use that.
field() { printf '%s' "$1" | sed -n "s/.*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

number=$(field "$1" number) to=$(field "$1" to) cents=$(field "$1" cents) digit=$(field "$1" digit)
if [ -z "$to" ]; then
    echo "the parcel $number goes to nobody" >&2
    exit 1
fi
printf 'No. %s-%s\nTo: %s\nPaid: %s.%02d\n' "$number" "$digit" "$to" $((cents / 100)) $((cents % 100))
