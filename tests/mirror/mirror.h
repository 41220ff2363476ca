/* tests/mirror/mirror.h - a backend whose memory the host cannot reach, as that of a device.
 *
 * Its memory is one file that is mapped twice. Tensors carry addresses of the first mapping, which nobody may touch: a
 * look through one of them faults, on any thread. Around each kernel of the portable backend, and the double ones, is a
 * wrapper that moves the tensors and the scratch memory of its node to the second mapping, and fails where one lies
 * outside the first. A run is queued to a thread of its own. While it runs, the host's copy of what is a batch's is
 * overwritten, and that of gradients is NaN.
 *
 * So tests that pass on it, with the portable backend's bits, show that nothing but kernels reads or writes the memory
 * of a run, that nothing reads results or gradients but by what waits for them, and that plans rely on no leaf. */
#ifndef PEFT_TESTS_MIRROR_MIRROR_H
#define PEFT_TESTS_MIRROR_MIRROR_H

#include "ops/backend.h"

extern const peft_backend mirror_backend;

#endif
