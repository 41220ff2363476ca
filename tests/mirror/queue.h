/* tests/mirror/queue.h - a thread to which one piece of work after another is given. */
#ifndef PEFT_TESTS_MIRROR_QUEUE_H
#define PEFT_TESTS_MIRROR_QUEUE_H

#include <pthread.h>
#include <stdbool.h>

typedef struct mirror_queue {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void (*function)(void *); /* what is to be done or is being done; NULL: nothing */
    void *argument;
    bool opened, ends;
} mirror_queue;

bool mirror_queue_open(mirror_queue *q);
void mirror_queue_close(mirror_queue *q); /* also one that is all zeros */

void mirror_queue_give(mirror_queue *q, void (*function)(void *), void *argument); /* when the last is done */
void mirror_queue_wait(mirror_queue *q);

#endif
