/* A build without oneDNN. Nothing can be opened, so nothing can be packed. */
#include <stdio.h>

#include "ops/onednn/dnnl.h"
#include "ops/onednn/packed.h"

static peft_status refuse(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                     "oneDNN: this build is without it; install its headers (Debian: libdnnl-dev) and build with "
                     "-Donednn=enabled");
}

peft_status peft_dnnl_open(peft_dnnl **d, peft_dtype dtype, int threads, peft_error *error)
{
    (void)dtype, (void)threads;
    *d = NULL;
    return refuse(error);
}

void peft_dnnl_close(peft_dnnl *d)
{
    (void)d;
}

peft_dtype peft_dnnl_dtype(const peft_dnnl *d)
{
    (void)d;
    return PEFT_F32;
}

bool peft_dnnl_amx(const peft_dnnl *d)
{
    (void)d;
    return false;
}

bool peft_dnnl_available(void)
{
    return false;
}

bool peft_dnnl_has_bf16(void)
{
    return false;
}

const char *peft_dnnl_version(char text[PEFT_DNNL_VERSION_TEXT])
{
    snprintf(text, PEFT_DNNL_VERSION_TEXT, "none");
    return text;
}

peft_status peft_dnnl_pack(peft_dnnl *d, int64_t k, int64_t n, const float *b, int64_t row, int64_t column,
                           peft_dnnl_matrix **matrix, peft_error *error)
{
    (void)d, (void)k, (void)n, (void)b, (void)row, (void)column;
    *matrix = NULL;
    return refuse(error);
}

peft_status peft_dnnl_pack_turned(peft_dnnl *d, const peft_dnnl_matrix *from, peft_dnnl_matrix **matrix,
                                  peft_error *error)
{
    (void)d, (void)from;
    *matrix = NULL;
    return refuse(error);
}

void peft_dnnl_matrix_free(peft_dnnl_matrix *matrix)
{
    (void)matrix;
}

size_t peft_dnnl_matrix_bytes(const peft_dnnl_matrix *matrix)
{
    (void)matrix;
    return 0;
}

void peft_packed_expect(peft_dnnl *d, int64_t rows)
{
    (void)d, (void)rows;
}

const peft_kernel peft_kernel_packed_linear = {0};
const peft_kernel peft_kernel_activation_bf16 = {0}, peft_kernel_attention_bf16 = {0}, peft_kernel_cast_bf16 = {0},
                  peft_kernel_dropout_bf16 = {0}, peft_kernel_low_rank_bf16 = {0}, peft_kernel_low_rank_few = {0};
