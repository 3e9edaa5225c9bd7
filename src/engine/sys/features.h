/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/* CPUID features: one list gives enum feature, the supported CPUID and the decoder's checks. */
#ifndef ENGINE_FEATURES_H
#define ENGINE_FEATURES_H

#include "engine/vcpu.h"

/* FEATURE(name, leaf, subleaf, register EAX..EDX = 0..3, bit) */
enum feature {
	FEATURE_NONE, /* every processor has it */
#define FEATURE(name, leaf, subleaf, reg, bit) FEATURE_##name,
#include "base/cpu_features.def"
#undef FEATURE
	FEATURE_COUNT,
};

static inline bool has_feature(const struct vcpu *c, enum feature feature)
{
	return c->features[feature / 64] >> feature % 64 & 1;
}

#endif
