//! The names that `\p{..}` knows in Go 1.26, with which Kubernetes 1.36 is built.

/// General categories by their short names.
const CATEGORIES: [&str; 38] = [
    "C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "Lc", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
    "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl",
    "Zp", "Zs",
];

/// Long names of categories, in the form to which [`canonical`] brings them.
const LONG_CATEGORIES: [(&str, &str); 41] = [
    ("Casedletter", "LC"),
    ("Closepunctuation", "Pe"),
    ("Cntrl", "Cc"),
    ("Combiningmark", "M"),
    ("Connectorpunctuation", "Pc"),
    ("Control", "Cc"),
    ("Currencysymbol", "Sc"),
    ("Dashpunctuation", "Pd"),
    ("Decimalnumber", "Nd"),
    ("Digit", "Nd"),
    ("Enclosingmark", "Me"),
    ("Finalpunctuation", "Pf"),
    ("Format", "Cf"),
    ("Initialpunctuation", "Pi"),
    ("Letter", "L"),
    ("Letternumber", "Nl"),
    ("Lineseparator", "Zl"),
    ("Lowercaseletter", "Ll"),
    ("Mark", "M"),
    ("Mathsymbol", "Sm"),
    ("Modifierletter", "Lm"),
    ("Modifiersymbol", "Sk"),
    ("Nonspacingmark", "Mn"),
    ("Number", "N"),
    ("Openpunctuation", "Ps"),
    ("Other", "C"),
    ("Otherletter", "Lo"),
    ("Othernumber", "No"),
    ("Otherpunctuation", "Po"),
    ("Othersymbol", "So"),
    ("Paragraphseparator", "Zp"),
    ("Privateuse", "Co"),
    ("Punct", "P"),
    ("Punctuation", "P"),
    ("Separator", "Z"),
    ("Spaceseparator", "Zs"),
    ("Spacingmark", "Mc"),
    ("Surrogate", "Cs"),
    ("Symbol", "S"),
    ("Titlecaseletter", "Lt"),
    ("Uppercaseletter", "Lu"),
];

/// Scripts. Those whose names have several words are missing on purpose: Go 1.26 does not find them.
const SCRIPTS: &str = "Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki Bopomofo \
    Brahmi Braille Buginese Buhid Carian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot \
    Cyrillic Deseret Devanagari Dogra Duployan Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha \
    Greek Gujarati Gurmukhi Han Hangul Hanunoo Hatran Hebrew Hiragana Inherited Javanese Kaithi Kannada \
    Katakana Kawi Kharoshthi Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Lisu Lycian Lydian Mahajani \
    Makasar Malayalam Mandaic Manichaean Marchen Medefaidrin Miao Modi Mongolian Mro Multani Myanmar \
    Nabataean Nandinagari Newa Nko Nushu Ogham Oriya Osage Osmanya Palmyrene Phoenician Rejang Runic \
    Samaritan Saurashtra Sharada Shavian Siddham Sinhala Sogdian Soyombo Sundanese Syriac Tagalog Tagbanwa \
    Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho \
    Yezidi Yi";

/// The class of a name as an item of a class in the syntax of the `regex` crate; negated on request. None for
/// names Go does not know.
pub(super) fn class_item(name: &str, negated: bool) -> Option<String> {
    let canonical = canonical(name);
    let property = match canonical.as_str() {
        "Any" => return Some(if negated { NOTHING } else { ANYTHING }.to_owned()),
        "Ascii" => return Some(if negated { r"[^\x00-\x7F]" } else { r"\x00-\x7F" }.to_owned()),
        // Surrogates are no characters of a valid text.
        "Cs" | "Surrogate" => return Some(if negated { ANYTHING } else { NOTHING }.to_owned()),
        "Assigned" => return Some(if negated { r"\p{Cn}" } else { r"\P{Cn}" }.to_owned()),
        "Unassigned" => "Cn".to_owned(),
        "Lc" => "LC".to_owned(),
        found if CATEGORIES.contains(&found) => canonical,
        found if SCRIPTS.split(' ').any(|script| script == found) => format!("sc={found}"),
        found => LONG_CATEGORIES.iter().find(|(long, _)| *long == found).map(|(_, short)| *short)?.to_owned(),
    };
    Some(if negated { format!(r"\P{{{property}}}") } else { format!(r"\p{{{property}}}") })
}

/// As items of a class: every character, and none.
pub(super) const ANYTHING: &str = r"\x00-\x{10FFFF}";
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

/// First letter upper case, the others lower case, without spaces, underscores and hyphens.
fn canonical(name: &str) -> String {
    let mut canonical = String::new();
    for character in name.chars().filter(|character| !matches!(character, '_' | '-' | ' ')) {
        canonical.push(if canonical.is_empty() {
            character.to_ascii_uppercase()
        } else {
            character.to_ascii_lowercase()
        });
    }
    canonical
}
