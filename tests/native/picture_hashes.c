/* Prints the hashes of pictures as signatures have them, one on each line: the name, then the hash or why not. */
#include "picture.h"

#include <stdio.h>
#include <stdlib.h>

enum { LONGEST = 1 << 26 };

int main(int count, char **names)
{
    for (int i = 1; i < count; i++) {
        FILE *f = fopen(names[i], "rb");
        uint8_t *bytes = malloc(LONGEST);
        if (!f || !bytes) return 1;
        size_t length = fread(bytes, 1, LONGEST, f);
        kav_picture picture;
        uint64_t hash = 0;
        int rc = kav_picture_read(&picture, bytes, length);
        if (rc == 1 && kav_picture_hash(&picture, &hash) == 0)
            printf("%s %016llx\n", names[i], (unsigned long long)hash);
        else printf("%s %d\n", names[i], rc);
        kav_picture_free(&picture);
        free(bytes);
        fclose(f);
    }
    return 0;
}
