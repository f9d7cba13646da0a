/* SPDX-License-Identifier: MIT */
/*! \file stats.h
 * Statistics as a value: (count, mean, M2) per channel, in double, in the caller's memory.
 *
 * One primitive for streaming, micro-batches, exact population statistics and statistics across processes: accumulate chunks,
 * merge values, finish. M2 is the sum of squared deviations from the mean, so var = m2 / count. Merging in a fixed order gives
 * fixed bits; a value that was accumulated from one chunk holds what batchnorm_forward() uses for that chunk, bit for bit.
 */
#ifndef BATCHNORM_STATS_H
#define BATCHNORM_STATS_H

#include "batchnorm/batchnorm.h"

#ifdef __cplusplus
extern "C" {
#endif

/*! The statistics of one channel. All zeros means "no value seen". */
typedef struct batchnorm_stat {
    double count; /*!< values seen; exact up to 2^53 */
    double mean;  /*!< their mean */
    double m2;    /*!< the sum of their squared deviations from the mean */
} batchnorm_stat;

/*! Set every channel to "no value seen".
 *
 * Shapes:  stats: [channels].
 * NULL:    stats may be NULL if channels is 0.
 * Since:   0.1
 */
BATCHNORM_API void batchnorm_stats_clear(batchnorm_stat *stats, size_t channels);

/*! batchnorm_stats_accumulate() */
typedef struct batchnorm_stats_call {
    size_t size;           /*!< sizeof(batchnorm_stats_call) */
    batchnorm_shape shape; /*!< of x */
    batchnorm_input x;     /*!< needed, if the shape has elements */
    batchnorm_stat *stats; /*!< [channels], what the chunk is added to; needed, if the shape has elements */
    size_t grain;          /*!< as in batchnorm_forward_call */
    size_t first_sample;   /*!< likewise */
    batchnorm_mask mask;   /*!< which positions count, and are counted; zeros: all */
} batchnorm_stats_call;

/*! Add a chunk of data.
 *
 * Formula: stats = merge(stats, statistics of x)
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   stats must not overlap x.
 * Memory:  batchnorm_stats_workspace_bytes(call).
 * Threads: safe to call at once on different stats.
 * Returns: OK: also for a shape without elements, which changes nothing
 *          NULL_POINTER: call is NULL, or what is needed
 *          BAD_DTYPE: I64
 *          TOO_LARGE
 *          BAD_OPTION: a mask with data and lengths, a length above inner, an unknown flag; with a grain, a first_sample that
 *          is no multiple of it, or that plus n does not fit size_t
 *          OVERLAP
 *          WORKSPACE_TOO_SMALL
 *          NO_MEMORY
 *          Checked in this order, but a wrong size of the call or of exec (BAD_OPTION) first of all. On error nothing was
 *          written.
 * Source:  Chan, Golub and LeVeque 1979 (pairwise merge).
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_stats_accumulate(const batchnorm_stats_call *call,
                                                                          const batchnorm_exec *exec);

/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_stats_workspace_bytes(const batchnorm_stats_call *call);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_stats_explain(const batchnorm_stats_call *call, const batchnorm_exec *exec, char *text,
                                             size_t size);

/*! The sums of a backward of one channel, as a value that is merged as statistics are. All zeros means "no value seen". */
typedef struct batchnorm_sum {
    double count; /*!< values seen; exact up to 2^53 */
    double dy;    /*!< S[g], with g = dy * act'(v) as in batchnorm_backward() */
    double dy_d;  /*!< S[g * (x - mean)] */
} batchnorm_sum;

/*! Set every channel to "no value seen".
 *
 * Shapes:  sums: [channels].
 * NULL:    sums may be NULL if channels is 0.
 * Since:   0.1
 */
BATCHNORM_API void batchnorm_sums_clear(batchnorm_sum *sums, size_t channels);

/*! batchnorm_sums_accumulate() */
typedef struct batchnorm_sums_call {
    size_t size;                     /*!< sizeof(batchnorm_sums_call) */
    batchnorm_shape shape;           /*!< of all of the following */
    batchnorm_input x;               /*!< that of the forward; needed, if the shape has elements and y is not in its place */
    batchnorm_input z;               /*!< that of the forward, where v is computed again; otherwise not looked at */
    batchnorm_input y;               /*!< that of the forward, by which an activation gates dy; see batchnorm_backward_call */
    batchnorm_input dy;              /*!< gradient of y; needed, if the shape has elements */
    const void *weight;              /*!< [channels], parameter type, that of the forward; NULL: 1 */
    const void *bias;                /*!< [channels], parameter type, that of the forward, to compute v or x again; NULL: 0 */
    const double *save_mean;         /*!< [channels], of the whole batch; needed where x is */
    const double *save_rstd;         /*!< [channels], of the whole batch; needed */
    batchnorm_activation activation; /*!< that of the forward; zeros: the identity */
    batchnorm_sum *sums;             /*!< [channels], what the sums are added to; needed */
    size_t grain;                    /*!< as in batchnorm_forward_call */
    size_t first_sample;             /*!< likewise */
    batchnorm_mask mask;             /*!< that of the forward: its ones are the count */
} batchnorm_sums_call;

/*! Add the sums of a part of a batch: the first phase of a backward. The second is a batchnorm_backward() of each part that is
 * given the sums of all, and takes their counts and values as they are: it checks neither. A value that was accumulated from
 * one part holds what batchnorm_backward() uses for that part, bit for bit.
 *
 * Formula: sums += S[g], S[g * (x - mean)] over this part
 * NULL:    exec = defaults; the rest stands beside the members.
 * Alias:   sums must overlap nothing else.
 * Memory:  batchnorm_sums_workspace_bytes(call).
 * Threads: safe to call at once on different sums.
 * Returns: as batchnorm_backward() without a group, BAD_OPTION for a mask or a first_sample among them; also OK for a shape
 *          without elements, which changes nothing. On error nothing was written.
 * Source:  the sums of batchnorm_backward(), on their own.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_sums_accumulate(const batchnorm_sums_call *call,
                                                                         const batchnorm_exec *exec);

/*! See batchnorm_infer_workspace_bytes(). */
BATCHNORM_API size_t batchnorm_sums_workspace_bytes(const batchnorm_sums_call *call);
/*! See batchnorm_infer_explain(). */
BATCHNORM_API size_t batchnorm_sums_explain(const batchnorm_sums_call *call, const batchnorm_exec *exec, char *text,
                                            size_t size);

/*! Merge two values: all three numbers are added.
 *
 * Shapes:  into, from: [channels].
 * NULL:    both may be NULL if channels is 0.
 * Alias:   from may be into.
 * Since:   0.1
 */
BATCHNORM_API void batchnorm_sums_merge(batchnorm_sum *into, const batchnorm_sum *from, size_t channels);

/*! Merge two values.
 *
 * Formula: n = na + nb; d = mean_b - mean_a; mean = mean_a + d * nb / n; m2 = m2_a + m2_b + d^2 * na * nb / n
 * Shapes:  into, from: [channels].
 * Units:   a side with count 0 contributes nothing; infinities and NaN propagate as they would through a sum.
 * NULL:    both may be NULL if channels is 0.
 * Alias:   from may be into (which doubles the counts).
 * Since:   0.1
 */
BATCHNORM_API void batchnorm_stats_merge(batchnorm_stat *into, const batchnorm_stat *from, size_t channels);

/*! Mean, variance and 1 / sqrt(var + eps).
 *
 * Formula: mean; var = m2 / (count - correction); rstd = 1 / sqrt(m2 / count + eps)
 * Shapes:  stats, mean, var, rstd: [channels], double.
 * Units:   correction 0 gives the population variance, 1 the unbiased one; var is NaN where count <= correction. rstd always
 *          uses the population variance. A channel that has seen nothing gives NaN.
 * NULL:    mean, var, rstd: each not wanted.
 * Alias:   mean, var and rstd must overlap neither stats nor each other; this is not checked.
 * Since:   0.1
 */
BATCHNORM_API void batchnorm_stats_finish(const batchnorm_stat *stats, size_t channels, double correction, double eps,
                                          double *mean, double *var, double *rstd);

/*! Move running statistics towards a value.
 *
 * Formula: as in batchnorm_forward(), with mean = stat.mean, var = stat.m2 / stat.count, M = stat.count
 * Shapes:  stats: [channels]; running_mean, running_var: [channels], parameter type of dtype (double for F64, else float).
 * NULL:    running_mean or running_var: not updated; options = PyTorch's.
 * Alias:   running_mean and running_var must overlap neither each other nor stats.
 * Threads: safe to call at once on different outputs.
 * Returns: OK
 *          NULL_POINTER
 *          BAD_DTYPE
 *          BAD_OPTION: a wrong size of the options
 *          ONE_VALUE: a count is 1 and not options->allow_one_value
 *          BAD_OPTION: an option outside its range
 *          OVERLAP
 *          NOT_COMMITTED: options->require_finite, and a mean or variance is not finite; nothing was changed
 *          Checked in this order. Channels with count 0 are left alone. On error nothing was written.
 * Since:   0.1
 */
BATCHNORM_API BATCHNORM_CHECK batchnorm_status batchnorm_stats_update_running(const batchnorm_stat *stats, size_t channels,
                                                                              batchnorm_dtype dtype, void *running_mean,
                                                                              void *running_var,
                                                                              const batchnorm_options *options);

#ifdef __cplusplus
}
#endif
#endif
