/* ops/cpu/kernels/matmul.c
 *
 *     C = A B                                         (1)
 *     dA (+)= dC B^T      dB (+)= A^T dC              (2)
 *
 * A [m, k], B [k, n]: the inputs, or their transposes, which is a swap of strides; or S of them, one after another,
 * whose rows are then counted through. */
#include "ops/describe/matmul.h"
#include "ops/cpu/kernels/gemm_tiles.h"

enum { A, B };

typedef struct matrix {
    real *data;
    int64_t rows, columns, row, column; /* sizes, and strides between rows and columns */
    int64_t next;                       /* stride to the next sequence's matrix */
} matrix;

static matrix transposed(matrix m)
{
    return (matrix){m.data, m.columns, m.rows, m.column, m.row, m.next};
}

/* `t` as the formulas have it: the value or gradient of an input, or of the result (input -1). */
static matrix matrix_of(const peft_node *node, const peft_tensor *t, int input)
{
    const peft_matmul_attributes *attributes = node->attributes;
    int64_t rows = t->shape.size[t->shape.ndim - 2], columns = peft_columns(t);
    matrix m = {t->data, rows, columns, columns, 1, rows * columns};
    bool swap = (input == A && attributes->transpose_a) || (input == B && attributes->transpose_b);
    return swap ? transposed(m) : m;
}

/* Whether a product of these sizes takes less time than the call of one for large matrices. */
static bool is_small(matrix left, matrix right)
{
    const int64_t small = 2048;
    return left.rows * left.columns <= small && left.rows * left.columns * right.columns <= small;
}

/* The first `rows` rows of out = left right + beta out. */
static void small_product(int64_t rows, matrix left, matrix right, real beta, matrix out)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < out.columns; j++) {
            real sum = 0, *to = out.data + i * out.row + j * out.column;
            for (int64_t k = 0; k < left.columns; k++)
                sum += left.data[i * left.row + k * left.column] * right.data[k * right.row + j * right.column];
            *to = sum + (beta == 0 ? 0 : beta * *to);
        }
}

static void product(int64_t rows, matrix left, matrix right, real beta, matrix out)
{
    peft_gemm_shape shape = {rows,      out.columns,  left.columns, left.row,  left.column,
                             right.row, right.column, out.row,      out.column};
    if (is_small(left, right))
        small_product(rows, left, right, beta, out);
    else
        gemm(&shape, 1, left.data, right.data, beta, out.data);
}

/* The matrix of sequence s, from this row on. */
static matrix part_of(matrix m, int64_t s, int64_t row)
{
    m.data += s * m.next + row * m.row;
    return m;
}

/* Rows begin ... end - 1 of out = left right + beta out, counted through the sequences. */
static void product_rows(matrix left, matrix right, real beta, matrix out, int64_t begin, int64_t end)
{
    for (int64_t next; begin < end; begin = next) {
        int64_t s = begin / out.rows, row = begin % out.rows;
        next = (s + 1) * out.rows < end ? (s + 1) * out.rows : end;
        product(next - begin, part_of(left, s, row), part_of(right, s, 0), beta, part_of(out, s, row));
    }
}

/* (1) */
static void forward_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                         const peft_thread *thread)
{
    (void)ctx, (void)thread;
    product_rows(matrix_of(node, node->in[A], A), matrix_of(node, node->in[B], B), 0, matrix_of(node, node->out[0], -1),
                 begin, end);
}

static void forward(const peft_node *node, peft_context *ctx)
{
    int64_t rows = peft_rows(node->out[0]);
    peft_for_rows(node, ctx, rows, gemm_grain(rows), forward_rows);
}

/* (2) */
static void dA_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx, (void)thread;
    product_rows(matrix_of(node, node->dout, -1), transposed(matrix_of(node, node->in[B], B)),
                 peft_accumulates(node, A) ? 1 : 0, matrix_of(node, node->din[A], A), begin, end);
}

static void dB_rows(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)
{
    (void)ctx, (void)thread;
    product_rows(transposed(matrix_of(node, node->in[A], A)), matrix_of(node, node->dout, -1),
                 peft_accumulates(node, B) ? 1 : 0, matrix_of(node, node->din[B], B), begin, end);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    int64_t m = peft_rows(node->out[0]);
    int64_t k = m / matrix_of(node, node->out[0], -1).rows * matrix_of(node, node->in[A], A).columns;
    if (node->din[A]) peft_for_rows(node, ctx, m, gemm_grain(m), dA_rows);
    if (node->din[B]) peft_for_rows(node, ctx, k, gemm_grain(k), dB_rows);
}

static size_t library_bytes(const peft_node *node)
{
    matrix b = matrix_of(node, node->in[B], B);
    return gemm_buffer_bytes(b.rows > b.columns ? b.rows : b.columns);
}

const peft_kernel KERNEL(matmul) = {.forward = forward, .backward = backward, .library_bytes = library_bytes};
