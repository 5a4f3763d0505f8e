/*
 * Translates the POSIX locale of the process into the language, script, country and variant of
 * java.util.Locale, by the tables of the JDK release that the static libraries come from.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "locale_str.h" /* of the JDK's sources: locale_aliases, language_names, ... */
#include "svm_locale.h"

static svm_locale_props_t props;

/* Looks a key up in a table of pairs that ends with an empty string; NULL if it is not there. */
static const char *lookup(char *table[], const char *key) {
    for (int i = 0; table[i][0]; i += 2)
        if (strcmp(table[i], key) == 0) return table[i + 1];
    return NULL;
}

/* Cuts text at the first of the separator; returns what follows it, or NULL. */
static char *cut(char *text, char separator) {
    char *at = strchr(text, separator);
    if (!at) return NULL;
    *at = 0;
    return at + 1;
}

/* Cuts "language_COUNTRY.encoding@modifier"; 0 if memory ran out. */
static int parse(int category, const char **language, const char **script, const char **country,
                 const char **variant) {
    const char *name = setlocale(category, NULL);
    if (!name || strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0) name = "en_US";
    char *text = strdup(name); /* kept as long as the process: its parts are returned */
    if (!text) return 0;
    char *modifier = cut(text, '@');
    cut(text, '.');

    const char *alias = lookup(locale_aliases, text);
    if (alias) {
        text = strdup(alias);
        if (!text) return 0;
        char *implied = cut(text, '@');
        if (implied) modifier = implied;
    }
    char *territory = cut(text, '_');

    const char *known = lookup(language_names, text);
    *language = known ? known : text;
    if (territory) {
        known = lookup(country_names, territory);
        *country = known ? known : territory;
    }
    if (modifier) {
        *script = lookup(script_names, modifier);
        *variant = lookup(variant_names, modifier);
    }
    return 1;
}

int svm_initialize_locale(void) {
    setlocale(LC_ALL, "");
    int ok = parse(LC_MESSAGES, &props.display_language, &props.display_script,
                   &props.display_country, &props.display_variant) &&
             parse(LC_CTYPE, &props.format_language, &props.format_script, &props.format_country,
                   &props.format_variant);
    return ok ? SVM_LOCALE_INITIALIZATION_SUCCEEDED : SVM_LOCALE_INITIALIZATION_OUT_OF_MEMORY;
}

const svm_locale_props_t *svm_get_locale(void) { return &props; }
