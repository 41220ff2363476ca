#include "ops/onednn/packed.h"

#include <stdlib.h>

#include "ops/engine/tiles.h"
#include "ops/onednn/onednn.h"

static peft_status pack_both(peft_packed *p, const peft_weight *w, const peft_dnnl_source *W, peft_packing packing,
                             peft_error *error)
{
    const peft_dnnl_source turned = {W->data, W->dtype, W->column, W->row};
    int64_t out = w->shape.size[0], in = w->shape.size[1];
    peft_status status = peft_dnnl_pack(p->owner, in, out, &turned, &p->forward, error);
    if (status != PEFT_OK || packing == PEFT_PACK_FORWARD) return status;
    if (packing == PEFT_PACK_ONCE) return peft_dnnl_pack_turned(p->owner, p->forward, &p->backward, error);
    return peft_dnnl_pack(p->owner, out, in, W, &p->backward, error);
}

/* From the bytes as they are stored. oneDNN reads F16 slowly, or not at all: such a weight is floats for as long as it
 * takes. */
static peft_status pack_stored(peft_packed *p, const peft_weight *w, peft_packing packing, peft_error *error)
{
    int64_t out = w->shape.size[0], in = w->shape.size[1];
    peft_dnnl_source W = {w->stored.data, w->stored.format == PEFT_FORMAT_BF16 ? PEFT_BF16 : PEFT_F32, in, 1};
    if (w->stored.transposed) W.row = 1, W.column = out;
    if (w->stored.format != PEFT_FORMAT_F16) return pack_both(p, w, &W, packing, error);
    float *copy;
    W = (peft_dnnl_source){peft_weight_values(w, &copy), PEFT_F32, in, 1};
    if (!W.data) return peft_fail(error, PEFT_ERR_MEMORY, "packed weight: out of memory");
    peft_status status = pack_both(p, w, &W, packing, error);
    free(copy);
    return status;
}

peft_status peft_packed_make(peft_packed **packed, peft_dnnl *d, const peft_weight *weight, peft_packing packing,
                             peft_error *error)
{
    *packed = NULL;
    peft_packed *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "packed weight: out of memory");
    made->owner = d;
    made->turned = packing == PEFT_PACK_ONCE;
    peft_status status = pack_stored(made, weight, packing, error);
    if (status != PEFT_OK) {
        peft_packed_free(made);
        return status;
    }
    size_t product = (size_t)peft_shape_count(&weight->shape) * peft_dtype_bytes(peft_dnnl_dtype(d));
    size_t bytes = peft_dnnl_matrix_bytes(made->forward);
    if (packing == PEFT_PACK_BOTH) bytes += peft_dnnl_matrix_bytes(made->backward);
    made->form = (peft_form){&peft_backend_onednn, bytes, product, NULL};
    *packed = made;
    return PEFT_OK;
}

void peft_packed_free(peft_packed *packed)
{
    if (!packed) return;
    peft_dnnl_matrix_free(packed->backward);
    peft_dnnl_matrix_free(packed->forward);
    free(packed);
}

const peft_packed *peft_packed_of(const peft_node *node, const peft_dnnl *d)
{
    enum { X, WEIGHT };
    const peft_tensor *leaf = node->op == PEFT_OP_linear ? node->in[WEIGHT] : NULL;
    const peft_form *form = leaf && leaf->weight && !leaf->requires_grad ? leaf->weight->form : NULL;
    if (!form || form->backend != &peft_backend_onednn) return NULL;
    const peft_packed *packed = (const peft_packed *)(const void *)form;
    return packed->owner == d && (packed->backward || !node->din[X]) ? packed : NULL;
}

void peft_packed_expect(peft_dnnl *d, int64_t rows)
{
    int64_t tiles = peft_tiles(rows);
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t left = peft_tile_begin(rows, tiles, tile + 1) - peft_tile_begin(rows, tiles, tile);
        for (; left; left -= peft_dnnl_height(left)) peft_dnnl_expect(d, peft_dnnl_height(left));
    }
}
