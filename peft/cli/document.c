#include "peft/cli/document.h"

long long peft_document_integer(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

double peft_document_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

const char *peft_document_text(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}
