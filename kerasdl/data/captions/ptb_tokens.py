"""Penn Treebank tokens of a caption, by the rules of the COCO caption evaluation.

The published BLEU, ROUGE-L and CIDEr of captioners are computed on the tokens of Stanford
CoreNLP 3.4.1's `PTBTokenizer`, a Java program, run as pycocoevalcap runs it
(`-preserveLines -lowerCase`). This module states the same rules in Python. At each place
the rule counts that matches most characters, what it looks ahead at included, and of
equal ones the first. tests/data/captions/test_ptb_tokens.py compares it with stored
answers of the Java program.

Differences: the Java program reads all captions as one stream, so that whether an
abbreviation at the end of a line ends a sentence depends on the next line. Here the end
of a text always ends a sentence: "etc." gives two tokens, "etc." and ".". Names of files
that begin with a digit and a few doubled abbreviations ("inc.a") are split otherwise; of
16,000 lines of random symbols and contractions 17 differed, of 4,880 captions of Flickr8k
and COCO none.
"""

from __future__ import annotations

import re
import unicodedata

# A word before a space or the end, and no special case: nearly every token.
_PLAIN = re.compile(r"[a-z]+(?= |\Z)", re.IGNORECASE)
_CONTRACTED = frozenset(("cannot", "gonna", "gotta", "lemme", "gimme", "wanna"))

# Letters, less the numbers that Python counts as word characters (², ½, Ⅳ).
_LETTER = r"[^\W\d_\xb2\xb3\xb9\xbc-\xbe\u2070-\u209c\u2150-\u218b\u2460-\u249b]"
# Vowel signs and joiners, which are no letters to Python and parts of words all the same.
_MARKS = "".join(
    character
    for character in map(chr, range(0x300, 0x1F000))
    if unicodedata.category(character) in ("Mn", "Mc") or character in "\u200c\u200d"
)
_LETTERS = rf"(?:{_LETTER}|[\xad{_MARKS}]|&[aeiou](?:acute|grave|uml);)"
_WORD = rf"{_LETTERS}(?:{_LETTERS}|\d)*(?:[.!?]{_LETTERS}(?:{_LETTERS}|\d)*)*"
_ALNUM = rf"(?:{_LETTER}|\d)"
_APOSTROPHE = r"(?:['\x92\u2019]|&apos;)"
_APOSTROPHE_LIKE = r"(?:['\x92\u2019`\x91\u2018\u201b]|&apos;)"
_SPACE = r"[ \t\xa0\u2000-\u200a\u3000]"
_SENTENCE_END = rf"(?:{_SPACE}(?:{_SPACE}|(?-i:[A-Z]))|\Z)"
_NUMBER = r"(?>\d+(?:[.:,\xad]\d+)*|(?:[.:,]\d+)+)"
_ACRONYM = (
    r"(?:(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-(?:u\.k|u\.s\.s\.r)|"
    r"[a-z](?:\.[a-z])+)"
)
_FRENCH = rf"(?:[dol]{_APOSTROPHE_LIKE}{_ALNUM})?"
_THING = rf"{_FRENCH}{_ALNUM}+(?:[-_\u058a\u2010\u2011]{_FRENCH}{_ALNUM}+)*"
_HYPHENATED = rf"[a-z0-9][a-z0-9.,\xad]*(?:-(?:{_ACRONYM}\.|[a-z0-9\xad]+))+"

# Abbreviations, of which those of the first list give a full stop to a sentence's end. A
# few are words if they do not begin with a capital letter.
_ABBREVIATION = (
    r"(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu(?:rs)?|fri|ala|"
    r"ariz|(?-i:A)[zr]k?|calif|colo|conn|ct|dak|(?-i:D)el|fla|ga|(?-i:I)ll|ind|kans?|ky|"
    r"(?-i:L)a|(?-i:M)ass|md|mich|minn|(?-i:M)iss|mo|mont|neb|nev|okla|(?-i:O)re|"
    r"(?-i:P)a|penn|tenn|(?-i:T)ex|va|vt|(?-i:W)ash|wisc?|wyo|inc|cos?|corp|pp?t[ye]s?|"
    r"ltd|plc|rt|bancorp|bhd|assn|univ|intl|sys|tel|est|ext|sq|jr|bros|(?:ed|ph)\.d|esq|"
    r"etc|al|seq|bldg)\."
)
_TITLE = (
    r"(?:mr|mrs|ms|(?-i:M)iss|drs?|profs?|sens?|reps?|attys?|lt|col|gen|messrs|govs?|adm|"
    r"rev|maj|sgt|cpl|pvt|capt|ste?|ave|pres|lieut|hon|brig|co?mdr|pfc|spc|supts?|det|mt|"
    r"ft|adj|adv|asst|assoc|ens|insp|mlle|mme|msgr|sfc|sr|invt|elec|natl|m[ft]g|dept|"
    rf"blvd|rd|vs|alex|wm|jos|cie|a\.k\.a|cf|treas|ph|{_ACRONYM}|[a-z])\."
)
# After an acronym these words, with their capital letter, begin a sentence.
_SENTENCE_STARTS = (
    r"(?-i:About|According|Additionally|After|An|A|As|At|But|Earlier|He|Her|Here|However|"
    r"If|In|It|Last|Many|More|Mr\.|Ms\.|Now|Once|One|Other|Our|She|Since|So|Some|Such|"
    r"That|The|Then|There|These|They|This|We|When|While|What|Yet|You)"
)


def _contraction(token):
    """The two words of "gonna"."""
    return (token[:3], token[3:])


def _twas(token):
    """The two words of "'twas"."""
    cut = token.lower().index("t") + 1
    return (token[:cut], token[cut:])


def _quote(left):
    """A quotation mark as LaTeX writes it, `left` or right."""

    def render(token):
        for marks, text in (
            ("'|&apos;", "`" if left else "'"),
            ('"|&quot;', "``" if left else "''"),
            ("[\x91\u2018\u201b\u2039]", "`"),
            ("[\x92\u2019\u203a]", "'"),
            ("[\x93\u201c\xab]", "``"),
            ("[\x94\u201d\xbb]", "''"),
        ):
            token = re.sub(marks, text, token)
        return (token,)

    return render


def _currency(token):
    token = token.replace("\xa2", "cents").replace("\xa3", "#")
    return (re.sub("[\x80\xa4\u20a0\u20ac]", "$", token),)


def _solid(token):
    """A token with spaces, which become no-break spaces."""
    token = token.replace(" ", "\xa0")
    return (token.replace("(", "-lrb-").replace(")", "-rrb-"),)


def _soft(token):
    """A token without its soft hyphens."""
    return (token.replace("\xad", "") or "-",)


def _fraction(token):
    known = {"\xbc": "1/4", "\xbd": "1/2", "\xbe": "3/4", "\u2153": "1/3"}
    return (known.get(token, token),)


def _dashes(token):
    return ("--" if len(token) in (3, 4) else token,)


def _ampersand(token):
    return (re.sub("&amp;", "&", token, flags=re.IGNORECASE),)


def _always(*tokens):
    return lambda token: tokens


def _repeated_stop(token):
    """An acronym at the end of a sentence: it keeps its full stop, "I." does not."""
    return (token[:-1] if len(token) == 2 else token, ".")


# What a token is, what must follow it, and the tokens that stand for it (None: itself).
_RULES = (
    ("cannot|gonna|gotta|lemme|gimme|wanna", "", _contraction),
    (rf"{_APOSTROPHE}t(?:is|was)", "", _twas),
    (
        r"<(?:[!?][a-z-][^>]*|[a-z][\w:.-]*(?: +[a-z][\w:.-]*)* */?|/[a-z][\w:.-]*) *>",
        "",
        _solid,
    ),
    (r"&(?:md|mdash|ndash);|[\x96\x97\u2013-\u2015]", "", _always("--")),
    ("&amp;", "", _always("&")),
    (_WORD, rf"{_APOSTROPHE}(?:[msd]|re|ve|ll)", _soft),
    (r"[a-z\xad]*[a-mo-z]\xad*", rf"n{_APOSTROPHE_LIKE}t", _soft),
    (_WORD, "", _soft),
    (
        rf"{_APOSTROPHE}n{_APOSTROPHE}?|[ldj]{_APOSTROPHE}|dunkin{_APOSTROPHE}|"
        rf"somethin{_APOSTROPHE}|ol{_APOSTROPHE}|{_APOSTROPHE}em|{_APOSTROPHE}[2-9]0s|"
        rf"{_APOSTROPHE}till?|{_APOSTROPHE}cause|cont'd\.?|nor'easter|c'mon|e'er|s'mores|"
        rf"ev'ry|li'l|nat'l|(?-i:[A-HJ-XZn]){_APOSTROPHE_LIKE}{_LETTER}{{2,}}|"
        rf"{_LETTER}+[aeiouy]{_APOSTROPHE_LIKE}(?-i:[aeiouA-Z]){_LETTER}*",
        "",
        None,
    ),
    (rf"y{_APOSTROPHE}", _LETTER, None),
    (r"https?://[^ \t\"<>|(){}]+[^ \t\"<>|.!?(){},-]", "", None),
    (
        r"(?:www\.(?:[^ \t\"<>|.!?(){},]+\.)+[a-z]{2,4}|"
        r"(?:(?-i:[^ \t\"`'<>|.!?(){},-_$])+\.)+(?:com|net|org|edu))"
        r"(?:/[^ \t\"<>|()]+[^ \t\"<>|.!?(){},-])?",
        "",
        None,
    ),
    (
        r"<?[a-z0-9][^ \t\"<>|()\xa0{}]*@"
        r"(?:[^ \t\"<>|().\xa0{}]+\.)*[^ \t\"<>|().\xa0{}]+>?",
        "",
        None,
    ),
    (rf"@[a-z_][a-z0-9_]*|#{_LETTERS}+", "", None),
    (rf"{_APOSTROPHE}(?:[msd]|re|ve|ll)", "[^a-z]", _quote(left=False)),
    (rf"n{_APOSTROPHE_LIKE}t", "", _quote(left=False)),
    (r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}", "", None),
    (rf"[-+]?{_NUMBER}", "", _soft),
    (
        r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\xb9\xb2\xb3\u2074-\u2079]+|[\u2080-\u2089]+)",
        "",
        None,
    ),
    (r"(?:\d{1,4}[- \xa0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}", "", _solid),
    ("[\xbc\xbd\xbe\u2153-\u215e]", "", _fraction),
    (
        r"-(?:rrb|lrb|rcb|lcb|rsb|lsb)-|c\.d\.s|pro-|anti-|s(?:&|&amp;)p-500|s(?:&|&amp;)ls",
        "",
        None,
    ),
    (rf"cap{_APOSTROPHE}n|c{_APOSTROPHE}est", "", None),
    (r"[a-z0-9]+(?:-[a-z]+){0,2}(?:\\?/[a-z0-9]+(?:-[a-z]+){0,2}){1,2}", "", None),
    (r"(?-i:[A-Z]*\$)|#", "", None),
    ("[\x80\xa2-\xa5\u20a0\u20ac]", "", _currency),
    (
        rf"(?:{_ACRONYM}|[a-z])\.",
        rf"(?:{_SPACE}+{_SENTENCE_STARTS}(?:{_SPACE}|\Z)|\Z)",
        _repeated_stop,
    ),
    (r"(?:nos?|figs?|pp?|props?|art)\.", rf"{_SPACE}*\d", None),
    (_ABBREVIATION, _SENTENCE_END, _repeated_stop),
    (_ABBREVIATION, r"(?s:.)(?:(?s:.)|\Z)", None),
    (_ABBREVIATION, "", None),
    (_TITLE, "", None),
    (rf"{_ACRONYM}", rf"(?:{_SPACE}|\Z)", None),
    (rf"{_APOSTROPHE}\d\d", rf"(?:{_SPACE}|\Z)", None),
    (rf"{_WORD}\.", "[,;:]", _soft),
    (
        r"(?:\(\d{2,3}\)[ \xa0]?|(?:\+\+?)?(?:\d{2,4}[- \xa0])?\d{2,4}[- \xa0])"
        r"\d{3,4}[- \xa0]?\d{3,5}|(?:(?:\+\+?)?\d{2,4}\.)?\d{2,4}\.\d{3,4}\.\d{3,5}",
        "",
        _solid,
    ),
    ('"|&quot;', "[a-z0-9$]", _quote(left=True)),
    ('"|&quot;', "", _quote(left=False)),
    (r"[<>]?[:;=][-o*']?(?-i:[()DPdpO\\{@|\[\]])", r"(?:[^a-z0-9]|\Z)", _solid),
    (r"<|&lt;", "", _always("<")),
    (r">|&gt;", "", _always(">")),
    (r"\[", "", _always("-lsb-")),
    (r"\]", "", _always("-rsb-")),
    (r"\{", "", _always("-lcb-")),
    (r"\}", "", _always("-rcb-")),
    (r"\(", "", _always("-lrb-")),
    (r"\)", "", _always("-rrb-")),
    ("-+", "", _dashes),
    (r"\.{3,5}|(?:\.[ \xa0]){2,4}\.|[\x85\u2026]", "", _always("...")),
    (r"@+|#+|_+|\*+|(?:\\\*){1,3}", "", None),
    (r"[,;:\u3001]", "", None),
    (r"[?!]+", "", None),
    ("[.\xa1\xbf=/]", "", None),
    (rf"{_HYPHENATED}\.", "[,;:]", _soft),
    (_HYPHENATED, "", _soft),
    (rf"{_THING}\.", "[,;:]", None),
    (_THING, "", None),
    ("(?-i:[A-Z]+(?:(?:&amp;|[+&])[A-Z]+)+)", "", _ampersand),
    ("'", "[a-z][^ \t\xa0]", _quote(left=True)),
    (rf"{_APOSTROPHE}(?:[msd]|re|ve|ll)", "", _quote(left=False)),
    (
        rf"''|{_APOSTROPHE}|[`\x91-\x94\u2018-\u201f\u2039\u203a\xab\xbb]{{1,2}}",
        "",
        _quote(left=False),
    ),
    ("<<|>>", "", None),
    (
        r"[+%&~^|\\\xa6-\xa9\xac\xae-\xba\xd7\xf7\u2016\u2017\u2020-\u2023\u2030-\u2042\u2100-\u2bff]",
        "",
        None,
    ),
)
_COMPILED = [
    (re.compile(f"({token}){ahead}", re.IGNORECASE), write)
    for token, ahead, write in _RULES
]


def ptb_tokens(text: str) -> list[str]:
    """Splits a text into lower-case Penn Treebank tokens, punctuation among them.

    Args:
        text: One caption.

    Returns:
        Its tokens as CoreNLP writes them: "-lrb-" for "(", "``" for an opening quotation
        mark, "n't" apart from the verb.

    Example:
        >>> ptb_tokens("A man's dog isn't here.")
        ['a', 'man', "'s", 'dog', 'is', "n't", 'here', '.']
    """
    text = re.sub(r"[\r\n\v\f\u2028\u2029]", " ", text)
    tokens, place = [], 0
    while place < len(text):
        plain = _PLAIN.match(text, place)
        if plain and plain[0].lower() not in _CONTRACTED:
            tokens.append(plain[0])
            place = plain.end() + 1
            continue
        best, write = None, None
        for pattern, rule in _COMPILED:
            found = pattern.match(text, place)
            if found and (best is None or found.end() > best.end()):
                best, write = found, rule
        if best is None:  # a space, or a character of no rule, which is dropped
            place += 1
            continue
        tokens += write(best[1]) if write else (best[1],)
        place = best.end(1)
    return [token.lower() for token in tokens]
