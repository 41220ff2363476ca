#include "io/name_list.h"

#include <stdio.h>

void peft_name_list_add(peft_name_list *list, const char *name)
{
    size_t room = (list->room < sizeof list->text ? list->room : sizeof list->text) - list->used;
    int length = snprintf(list->text + list->used, room, "%s%s", list->count++ ? ", " : "", name);
    if ((size_t)length < room)
        list->used += (size_t)length;
    else if (room)
        list->text[list->used] = '\0';
}
