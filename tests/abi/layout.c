/* Prints sizes, offsets and constants of taper.h; the output must equal abi/layout.txt. */
#include "taper.h"

#include <stdio.h>

#define SIZE(type) printf("sizeof %s %zu\n", #type, sizeof(type))
#define FIELD(type, field) printf("offsetof %s.%s %zu\n", #type, #field, offsetof(type, field))

int main(void)
{
#include "layout.inc"
    return 0;
}
