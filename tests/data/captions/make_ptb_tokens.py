"""Writes ptb_tokens.jsonl: lines and what CoreNLP 3.4.1's PTBTokenizer makes of them.

    python tests/data/make_ptb_tokens.py

It needs Java and pycocoevalcap, which brings the program. A third of the lines are
written by hand, one or more for each rule; the others are drawn from fragments and from
symbols. Each is followed by a line that begins with a capital letter, as in a file of
captions.
"""

import json
import random
import subprocess
import tempfile
from pathlib import Path

from pycocoevalcap.tokenizer import ptbtokenizer

JAR = Path(ptbtokenizer.__file__).with_name("stanford-corenlp-3.4.1.jar")
FIXTURE = Path(__file__).with_name("ptb_tokens.jsonl")

WRITTEN = """\
A man's dog can't eat , it isn't hungry .
Two boys ' kites fly over the girls' heads.
A three-year-old boy in a T-shirt, playing.
"Stop" is what the sign says; the cars don't.
The sign says 'no parking' in red letters
A black/white dog and/or cat (left) behind a fence [far away] {nearby}
He cannot see what she is gonna do, 'cause it's dark
They'll wanna run; we've gotta wait - gimme that!
'tis a dog, 'twas a cat; more'n one o'clock, y'all
rock'n'roll rock 'n' roll rock n roll
A U.S. flag. A man in the U.S. The flag of the U.S. army
on the corner of 5th St. and Main Ave. in St. Louis
Mr. Smith, Mrs. Jones and Dr. No. stand in line no. 5
dogs, cats, etc. in a yard
dogs, cats, etc. The yard is large
at 10:30 p.m. on 12/25/2005 or 1-2-06
a $5 bill and 25% off for 3,000 people, #5 of 1/2 or 1 1/2
the 1990's, the '90s and the 50s
-5 degrees, +3 degrees, .5 degrees, 2.5 degrees
call (555) 123-4567 or 555-1234
a & b, AT&T, b&w, R&B and M&amp;Ms
w/ a hat, w/o a hat
wait ... what?! no!!! yes?? .. .... . . .
one -- two --- three - four ---- five
http://example.com/a/b.html and www.example.org or mail a.b@example.com
foo.jpg #tag @user_1 :) ;-) :( =D
<b>bold</b> < 3 > 2 <br/> &lt; &gt; &quot;hm&quot;
café naïve – en — em ‘left’ “double” … ½ £5 €3 ¥ ¢ 20°
couldn't've hasn't haven't ain't don'ts shouldnt
O'Brien's o'hare ma'am c'mon s'mores ol' dunkin' jack-o'-lantern
e.g. a dog i.e. an animal vs. a cat a.k.a. tiger
a*b **c** a_b __c__ a+b=c a~b ^ | \\ `tick`
jr.y inc. co. ltd. corp. ph.d. vs.x etc.w/
a man,a woman;a child:a dog.a cat
semi-detached 20-year-old mother-in-law -dash- x-ray-like
Nos. 3 and 4, fig. 2, p. 7
M.I.T. students in L.A. on Jan. 5 and Sept. 6
A man\xa0with\ta hat
the end .
"""

FRAGMENTS = (
    "a the The dog Dog's n't isn't can't cannot gonna 'em 'til ' \" `` ( ) . , ; : ? ! - "
    "-- --- ... / & % $ # @ * _ + = < > [ ] { } 1 25 3,000 10:30 1/2 1-2 5th 1990s '90s "
    "'s o'clock y'all T-shirt t.v. U.S. U.S a.m. p.m. Mr. St. no. etc. e.g. vs. "
    "black/white w/ w/o AT&T b&w rock'n'roll www.a.com a@b.c ’s “ ” – — … ½ £5"
)
SYMBOLS = "aAbBdDnNtTsSiIyYmM0123456789.,;:'\"`-_/\\()[]{}<>&%$#@*+=~^|!? "


def main() -> None:
    """Draws the lines, asks the Java program and writes the fixture."""
    draw = random.Random(5)
    lines = WRITTEN.splitlines()
    for _ in range(60):
        parts = draw.choices(FRAGMENTS.split(), k=draw.randint(2, 7))
        lines.append("".join(p + draw.choice(["", " "]) for p in parts).strip())
        lines.append("".join(draw.choices(SYMBOLS, k=draw.randint(3, 20))).strip() or "a")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write("".join(f"{line}\nA\n" for line in lines))
        file.flush()
        done = subprocess.run(
            ["java", "-Dfile.encoding=UTF-8", "-cp", JAR,
             "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase",
             file.name],
            capture_output=True, check=True, encoding="utf-8",
        )  # fmt: skip
    answers = done.stdout.split("\n")[: 2 * len(lines) : 2]
    with open(FIXTURE, "w", encoding="utf-8") as file:
        for line, answer in zip(lines, answers, strict=True):
            pair = [line, answer.strip(" ").split(" ")]
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
