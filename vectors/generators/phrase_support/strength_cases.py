"""Cases of the self-check and of the strength floor: name, description, canonical phrase, and the bits if enough.

A drawn phrase of n words has log2(1000! / (1000 - n)!) - 8 bits, rounded down to a tenth. Credits of a free phrase:
the 0, to 1, and 1.5, of 2 (ranks 1 to 4), a number word 3, an unlisted word 10, a known stretch 10.
"""

_SIX = "effective piranha caveat aquatic metallic remotely"
_SEVEN = "underneath valuable rebuild trombone remove arrive grapefruit"
_TWELVE = "lexicon strategic encompass accept whimsical superstar spaceship digestion railway extremely exist nearby"
_SWAPPED = "piranha effective caveat aquatic metallic remotely"

PASSING = (
    ("self_check_six_words", "a drawn phrase of six words", _SIX),
    ("self_check_seven_words", "a drawn phrase of seven words", _SEVEN),
    ("self_check_twelve_words", "a drawn phrase of twelve words", _TWELVE),
    ("self_check_any_text", "any text that happens to pass", "pelican number g xxxxxxx"),
    ("self_check_utf_8", "the hash is of UTF-8", "\u4e99"),
)
FAILING = (
    ("self_check_words_swapped", "two words swapped", _SWAPPED),
    ("self_check_word_misheard", "one word misheard", "effective piranha caveat aquatic metallic remote"),
    ("self_check_word_missing", "one word missing", "effective piranha caveat aquatic metallic"),
    ("self_check_other_text", "a phrase that was not drawn", "twenty one pelicans"),
    ("self_check_accent", "a letter beyond ASCII", "\u00e9"),
)

DRAWN = (
    ("drawn_six_words", "six words", _SIX, 51.7),
    ("drawn_seven_words", "seven words", _SEVEN, 61.7),
    ("drawn_twelve_words", "twelve words", _TWELVE, 111.4),
)
FREE = (
    ("free_uncommon_words", "seven unlisted words", "walrus juggles purple teapots beside frozen harbours", 70),
    (
        "free_common_words",
        "common words count by their rank, repeated ones not",
        "the walrus and the mongoose to juggle teapots of porcelain",
        54.5,
    ),
    ("free_number_words", "number words", "seven walruses juggle eleven teapots beside frozen harbours", 66),
    ("free_repeated_word", "a repeated word counts once", "walrus walrus teapot mongoose juggle frozen harbours", 60),
    ("free_short_words", "four bits for each different letter", "qj qq walrus juggle teapots mongoose frozen", 62),
    (
        "free_known_beginning",
        "a known beginning counts as one word",
        "to be or not to be walruses juggle purple teapots nightly",
        60,
    ),
    (
        "free_other_script",
        "words of another script",
        "\u03c6\u03b1\u03bb\u03b1\u03b9\u03bd\u03b1 \u03ba\u03bf\u03ba\u03ba\u03b9\u03bd\u03b7 "
        "\u03b2\u03bf\u03c5\u03bd\u03bf \u03b8\u03b1\u03bb\u03b1\u03c3\u03c3\u03b1 "
        "\u03ba\u03b1\u03c1\u03b5\u03ba\u03bb\u03b1 \u03bc\u03bf\u03bb\u03c5\u03b2\u03b9",
        60,
    ),
    ("free_listed_words_repeated", "list words, one twice: not drawn", f"{_SIX} effective", 60),
)
WEAK = (
    ("weak_five_words", "five words", "walrus juggles purple teapots nightly"),
    ("weak_listed_words", "six list words that fail the self-check", _SWAPPED),
    ("weak_five_drawn_words", "five list words", "effective piranha caveat aquatic metallic"),
    ("weak_common_words", "common words only", "i love my wife and my kids very much"),
    ("weak_quotation", "a quotation", "to be or not to be that is the question"),
    ("weak_quotation_beginning", "a part of one", "it was a dark and stormy"),
    ("weak_two_quotations", "two of them", "to be or not to be may the force be with you"),
    ("weak_quotation_and_words", "a quotation and three words", "to be or not to be walrus purple teapots"),
    ("weak_months", "months in order", "january february march april may june"),
    ("weak_digits", "a row of number words", "one two three four five six seven eight nine ten"),
    ("weak_letters", "a row of letters", "q w e r t y u i o p"),
    ("weak_repetition", "one word, often", "walrus walrus walrus walrus walrus walrus walrus"),
)
