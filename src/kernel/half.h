/* SPDX-License-Identifier: MIT */
/* BF16 and F16 to and from float, for a float vector of BNK_WIDTH bytes. Rounding is to nearest, ties to even; a NaN becomes a
 * quiet NaN. Where the processor converts F16 itself the results are the same but for NaN payloads. */

typedef BNK_VECTOR(float, BNK_WIDTH) BNK_NAME(bnk_f);
typedef BNK_VECTOR(uint32_t, BNK_WIDTH) BNK_NAME(bnk_u);
typedef BNK_VECTOR(uint16_t, BNK_WIDTH / 2) BNK_NAME(bnk_h);

BNK_INLINE BNK_NAME(bnk_u) BNK_NAME(load_u16)(const uint16_t *p) {
    BNK_NAME(bnk_h) h;
    memcpy(&h, p, sizeof h);
#ifdef __AVX512F__
    if (sizeof h == 32) {
        BNK_NAME(bnk_u) u;
        __m256i narrow;
        memcpy(&narrow, &h, 32);
        __m512i wide = _mm512_cvtepu16_epi32(narrow);
        memcpy(&u, &wide, 64);
        return u;
    }
#endif
#ifdef __AVX2__
    if (sizeof h == 16) {
        BNK_NAME(bnk_u) u;
        __m128i narrow;
        memcpy(&narrow, &h, 16);
        __m256i wide = _mm256_cvtepu16_epi32(narrow);
        memcpy(&u, &wide, 32);
        return u;
    }
#endif
    return __builtin_convertvector(h, BNK_NAME(bnk_u));
}

/* GCC 12 narrows a wide vector by pieces unless it is told the instruction. */
BNK_INLINE BNK_NAME(bnk_h) BNK_NAME(narrow_u16)(BNK_NAME(bnk_u) u) {
#ifdef __AVX512F__
    if (sizeof u == 64) {
        BNK_NAME(bnk_h) h;
        __m512i wide;
        memcpy(&wide, &u, sizeof u);
        __m256i narrow = _mm512_cvtepi32_epi16(wide);
        memcpy(&h, &narrow, sizeof h);
        return h;
    }
#endif
#ifdef __AVX2__
    if (sizeof u == 32) { /* no element is above 0xffff, so that nothing saturates */
        BNK_NAME(bnk_h) h;
        __m256i wide;
        memcpy(&wide, &u, sizeof u);
        __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
        memcpy(&h, &narrow, sizeof h);
        return h;
    }
#endif
    return __builtin_convertvector(u, BNK_NAME(bnk_h));
}

BNK_INLINE BNK_NAME(bnk_u) BNK_NAME(choose)(BNK_NAME(bnk_u) mask, BNK_NAME(bnk_u) yes, BNK_NAME(bnk_u) no) {
#ifdef __AVX2__
    if (sizeof mask == 32) {
        __m256i wide[3];
        memcpy(wide, &no, 32), memcpy(wide + 1, &yes, 32), memcpy(wide + 2, &mask, 32);
        const __m256i chosen = _mm256_blendv_epi8(wide[0], wide[1], wide[2]);
        memcpy(&no, &chosen, 32);
        return no;
    }
#endif
    return (yes & mask) | (no & ~mask);
}

BNK_INLINE BNK_NAME(bnk_f) BNK_NAME(bf16_widen)(const uint16_t *p) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
    BNK_NAME(bnk_f) v;
    if (sizeof v == 64) { /* words to the upper halves, in one step */
        const __m512i from = _mm512_set_epi32(15 << 16, 14 << 16, 13 << 16, 12 << 16, 11 << 16, 10 << 16, 9 << 16, 8 << 16,
                                              7 << 16, 6 << 16, 5 << 16, 4 << 16, 3 << 16, 2 << 16, 1 << 16, 0);
        const __m512i narrow = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p));
        const __m512i wide = _mm512_maskz_permutexvar_epi16(0xaaaaaaaa, from, narrow);
        memcpy(&v, &wide, 64);
        return v;
    }
#ifdef __AVX512VL__
    if (sizeof v == 32) {
        const __m256i from = _mm256_set_epi32(7 << 16, 6 << 16, 5 << 16, 4 << 16, 3 << 16, 2 << 16, 1 << 16, 0);
        const __m256i narrow = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p));
        const __m256i wide = _mm256_maskz_permutexvar_epi16(0xaaaa, from, narrow);
        memcpy(&v, &wide, 32);
        return v;
    }
#endif
#endif
    return (BNK_NAME(bnk_f))(BNK_NAME(load_u16)(p) << 16);
}

BNK_INLINE BNK_NAME(bnk_h) BNK_NAME(bf16_narrow)(BNK_NAME(bnk_f) v) {
    BNK_NAME(bnk_u) bits = (BNK_NAME(bnk_u))v;
#if defined(__AVX512F__) && defined(__AVX512BW__)
    if (sizeof v == 64) {
        const __m512i high = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0x1f001d, 0x1b0019, 0x170015, 0x130011, 0xf000d, 0xb0009,
                                              0x70005, 0x30001);
        const __m512i quiet_nans = _mm512_set1_epi32(0x22); /* the response to NaNs, quiet and signaling: the NaN, quiet */
        __m512i wide;
        memcpy(&wide, &v, 64);
        const __mmask16 odd = _mm512_test_epi32_mask(wide, _mm512_set1_epi32(0x10000));
        __m512i r = _mm512_add_epi32(wide, _mm512_set1_epi32(0x7fff));
        r = _mm512_mask_add_epi32(r, odd, r, _mm512_set1_epi32(1));
        r = _mm512_castps_si512(_mm512_fixupimm_ps(_mm512_castsi512_ps(r), _mm512_castsi512_ps(wide), quiet_nans, 0));
        const __m256i words = _mm512_castsi512_si256(_mm512_permutexvar_epi16(high, r));
        BNK_NAME(bnk_h) h;
        memcpy(&h, &words, 32);
        return h;
    }
#endif
    BNK_NAME(bnk_u) rounded = bits + 0x7fff + ((bits >> 16) & 1), nan = (BNK_NAME(bnk_u))(v != v);
    return BNK_NAME(narrow_u16)(BNK_NAME(choose)(nan, bits | 0x400000, rounded) >> 16);
}

BNK_INLINE BNK_NAME(bnk_f) BNK_NAME(f16_widen)(const uint16_t *p) {
#ifdef __F16C__
    BNK_NAME(bnk_f) v;
#ifdef __AVX512F__
    if (sizeof v == 64) {
        __m512 w = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
        memcpy(&v, &w, 64);
        return v;
    }
#endif
    if (sizeof v == 16) {
        __m128 w = _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)p));
        memcpy(&v, &w, 16);
        return v;
    }
    if (sizeof v == 32) {
        __m256 w = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
        memcpy(&v, &w, 32);
        return v;
    }
#endif
    BNK_NAME(bnk_u) h = BNK_NAME(load_u16)(p);
    /* shifted into place, a half is a float too small by 2^112, subnormals included */
    BNK_NAME(bnk_f) f = (BNK_NAME(bnk_f))((h & 0x7fff) << 13) * 0x1p112f;
    BNK_NAME(bnk_u) special = (BNK_NAME(bnk_u))(f >= 65536.0f) & 0x7f800000;
    return (BNK_NAME(bnk_f))((BNK_NAME(bnk_u))f | special | ((h & 0x8000) << 16));
}

BNK_INLINE BNK_NAME(bnk_h) BNK_NAME(f16_narrow)(BNK_NAME(bnk_f) v) {
#ifdef __AVX512F__
    if (sizeof v == 64) {
        BNK_NAME(bnk_h) h;
        __m512 wide;
        memcpy(&wide, &v, sizeof v);
        __m256i narrow = _mm512_cvtps_ph(wide, _MM_FROUND_TO_NEAREST_INT);
        memcpy(&h, &narrow, sizeof h);
        return h;
    }
#endif
#ifdef __F16C__
    if (sizeof v == 32) {
        BNK_NAME(bnk_h) h;
        __m256 wide;
        memcpy(&wide, &v, sizeof v);
        __m128i narrow = _mm256_cvtps_ph(wide, _MM_FROUND_TO_NEAREST_INT);
        memcpy(&h, &narrow, sizeof h);
        return h;
    }
#endif
    BNK_NAME(bnk_u) bits = (BNK_NAME(bnk_u))v, size = bits & 0x7fffffff, sign = (bits >> 16) & 0x8000;
    BNK_NAME(bnk_u) normal = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
    /* adding 0.5 rounds to a multiple of 2^-24, which is what a subnormal half counts */
    BNK_NAME(bnk_u) small = (BNK_NAME(bnk_u))((BNK_NAME(bnk_f))size + 0.5f) - 0x3f000000;
    BNK_NAME(bnk_u) is_small = (BNK_NAME(bnk_u))(size < 0x38800000);
    BNK_NAME(bnk_u) is_large = (BNK_NAME(bnk_u))(size >= 0x47800000);
    BNK_NAME(bnk_u) is_nan = (BNK_NAME(bnk_u))(size > 0x7f800000);
    BNK_NAME(bnk_u) large = BNK_NAME(choose)(is_nan, 0x7e00 | (size & 0), 0x7c00 | (size & 0));
    return BNK_NAME(narrow_u16)(sign | BNK_NAME(choose)(is_large, large, BNK_NAME(choose)(is_small, small, normal)));
}
