#!/usr/bin/env bash
# Makes the sample recordings again: real speech from real tools. Needs espeak-ng, sox, ffmpeg (with libmp3lame, libopus,
# libvpx) and python3. The results are committed, so nobody needs this to build or to run the demo.
#
# dialogues/NAME.txt holds one turn a line, "agent|…" or "customer|…". A dialogue becomes NAME.wav (two channels, agent
# left, customer right, 8 kHz, mu-law as telephone recorders write it) and NAME.json (a timed transcript; times of words are
# interpolated within a turn). voicemail-*.txt become one-channel files. Some dialogues are also made as MP3 and Ogg/Opus.
set -euo pipefail
cd "$(dirname "$0")"
for tool in espeak-ng sox soxi ffmpeg python3; do
  command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install espeak-ng sox ffmpeg python3)" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

agents=(en-us+f2 en-gb+m3 en-us+f4 en-us+m1 en-gb+f3 en-us+m4)
customers=(en-us+m2 en-us+f3 en-gb+m1 en-us+f1 en-us+m5 en-gb+f4)

number=0
for script in dialogues/*.txt; do
  name=$(basename "$script" .txt)
  agent=${agents[$((number % 6))]}
  customer=${customers[$(((number + number / 6) % 6))]}
  number=$((number + 1))
  : > "$work/times"
  at=0.25
  left=(); right=(); turn=0
  while IFS='|' read -r who text; do
    [ -n "$who" ] || continue
    voice=$agent; [ "$who" = customer ] && voice=$customer
    espeak-ng -v "$voice" -s 178 -w "$work/raw.wav" "$text"
    sox "$work/raw.wav" -r 8000 -c 1 -b 16 "$work/turn$turn.wav" silence 1 0.01 0.2% reverse silence 1 0.01 0.2% reverse \
      gain -6 highpass 250 lowpass 3500 gain -n -4 pad "$at" 0
    end=$(soxi -D "$work/turn$turn.wav")
    printf '%s|%s|%s|%s\n' "$who" "$at" "$end" "$text" >> "$work/times"
    if [ "$who" = agent ]; then left+=("$work/turn$turn.wav"); else right+=("$work/turn$turn.wav"); fi
    at=$(python3 -c "print(f'{$end + 0.28:.3f}')")
    turn=$((turn + 1))
  done < "$script"
  total=$(python3 -c "print(f'{$at:.3f}')")

  mix() { # OUT FILE…: turns of one speaker at their times on a silent channel
    local out=$1; shift
    sox -n -r 8000 -c 1 -b 16 "$work/silence.wav" trim 0 "$total"
    sox -m -v 1 "$work/silence.wav" $(printf -- '-v 1 %s ' "$@") "$out"
  }
  case $name in
    voicemail-*)
      mix "$work/mono.wav" "${right[@]}"
      sox "$work/mono.wav" -e mu-law -b 8 "$name.wav"
      ;;
    *)
      mix "$work/left.wav" "${left[@]}"
      mix "$work/right.wav" "${right[@]}"
      sox -M "$work/left.wav" "$work/right.wav" "$work/both.wav"
      sox "$work/both.wav" -e mu-law -b 8 "$name.wav"
      ;;
  esac
  case $name in
    billing | complaint) ffmpeg -loglevel error -y -i "$work/both.wav" -codec:a libmp3lame -b:a 24k -map_metadata -1 "$name.mp3" ;;
    outage) ffmpeg -loglevel error -y -i "$work/both.wav" -codec:a libopus -b:a 20k -map_metadata -1 "$name.ogg" ;;
  esac
  python3 - "$work/times" "$name.json" <<'PY'
import json, sys
segments = []
for line in open(sys.argv[1], encoding="utf-8"):
    who, start, end, text = line.rstrip("\n").split("|", 3)
    start, end = round(float(start) * 1000), round(float(end) * 1000)
    words = text.split()
    weights = [len(word) + 2 for word in words]
    at, timed = start, []
    for index, (word, weight) in enumerate(zip(words, weights)):
        upto = end if index == len(words) - 1 else at + round((end - start) * weight / sum(weights))
        timed.append({"startMs": at, "endMs": upto, "text": word.strip(".,!?").lower()})
        at = upto
    segments.append({"participant": 0 if who == "agent" else 1, "startMs": start, "endMs": end, "text": text,
                     "confidence": 0.97, "words": timed})
with open(sys.argv[2], "w", encoding="utf-8") as out:
    json.dump({"language": "en-us", "segments": segments}, out, ensure_ascii=False, separators=(",", ":"))
    out.write("\n")
PY
done

# A screen recording: a customer's record being filled in, 640x360 at 5 frames a second.
text="drawtext=fontsize=20:fontcolor=white:x=40"
ffmpeg -loglevel error -y -f lavfi -i "color=c=0x1d2b3a:s=640x360:r=5:d=8" -vf "\
drawbox=x=0:y=0:w=640:h=48:color=0x32506e:t=fill,\
drawtext=fontsize=22:fontcolor=white:x=20:y=13:text='Northwind Power - customer desk',\
$text:y=90:text='Searching for the contract':enable='gte(t,1)',\
$text:y=130:text='Contract found, two payments in October':enable='gte(t,2.4)',\
$text:y=170:text='Refund of the second payment':enable='gte(t,4)',\
drawbox=x=40:y=230:w=160:h=44:color=0x3f8f5f:t=fill:enable='gte(t,5.2)',\
drawtext=fontsize=20:fontcolor=white:x=70:y=242:text='Refunded':enable='gte(t,5.2)'" \
  -codec:v libvpx-vp9 -b:v 60k -row-mt 1 -map_metadata -1 screen.webm
du -cb ./*.wav ./*.mp3 ./*.ogg ./*.webm ./*.json | tail -1
