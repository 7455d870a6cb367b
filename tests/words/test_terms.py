from dynfocus.words.terms import content_words, stem, terms_of, words_of


def test_endings_of_one_word_make_one_term():
    for forms in (
        ("bake", "bakes", "baking", "baked"),
        ("city", "cities"),
        ("stop", "stopping", "stopped"),
        ("glass", "glasses"),
        ("quick", "quickly"),
    ):
        assert len({stem(form) for form in forms}) == 1, forms


def test_short_words_codes_and_other_scripts_stay():
    assert [stem(one) for one in ("is", "a7", "00419", "straße")] == [
        "is",
        "a7",
        "00419",
        "straße",
    ]


def test_codes_fall_into_their_parts_and_accents_go():
    assert words_of("Form LX-220 for Zieliński, naïve") == [
        *("form", "lx", "220", "for", "zielinski", "naive")
    ]


def test_scripts_without_spaces_are_split_sign_by_sign():
    assert terms_of("東京タワー 2階") == [*"東京タワー", "2", "階"]


def test_words_that_only_ask_are_left_out_unless_nothing_else_is_there():
    assert content_words(words_of("What does the speaker say about bread?")) == [
        "bread"
    ]
    assert content_words(words_of("What is it?")) == ["what", "is", "it"]
