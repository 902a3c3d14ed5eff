# SPDX-License-Identifier: BSD-2-Clause
#
# make            build/taskmon-collector and build/taskmon-report, man pages, shell completion
# make check      unit tests (no root); ./tests/run runs everything
# make install    DESTDIR= prefix=/usr/local
# make asan       both programs with ASan and UBSan, in build/asan/
# make fuzz       the fuzzers, in build/fuzz/
# make bench      the benchmarks (root)
# V=1 shows the commands. B=DIR builds somewhere else.

VERSION := 0.1.0
B       ?= build
prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
mandir  ?= $(prefix)/share/man
datadir ?= $(prefix)/share/taskmon
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir  ?= $(prefix)/share/zsh/site-functions

CC      ?= cc
CLANG   ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
PROTOC  ?= protoc-c
PKG     ?= pkg-config

ifeq ($(V),1)
Q :=
say :=
else
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)';
endif

WARN     := -Wall -Wextra -Werror -Wno-missing-field-initializers
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) -D_GNU_SOURCE -DTASKMON_VERSION='"$(VERSION)"' -DTASKMON_DATADIR='"$(datadir)"' -Icommon -I$(B)/gen $(CFLAGS) $(SANITIZE) -MMD -MP
pkg_cflags = $(shell $(PKG) --cflags $(1))
pkg_libs   = $(shell $(PKG) --libs $(1))

COMMON_PKGS    := libprotobuf-c
COLLECTOR_PKGS := $(COMMON_PKGS) libbpf libelf libuv libcjson popt
REPORTER_PKGS  := $(COMMON_PKGS) libuv libcjson popt

COMMON_OBJS    := $(patsubst %.c,$(B)/%.o,$(wildcard common/*.c)) $(B)/gen/taskmon.pb-c.o
COLLECTOR_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard collector/*.c))
REPORTER_OBJS  := $(patsubst %.c,$(B)/%.o,$(wildcard reporter/*.c))
BPF_OBJS       := $(patsubst %.bpf.c,$(B)/%.bpf.o,$(wildcard bpf/*.bpf.c))
WORKLOADS      := $(patsubst tests/workloads/%.c,$(B)/workloads/%,$(wildcard tests/workloads/*.c))
FUZZERS        := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT_TESTS     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
SKELETON       := $(B)/gen/taskmon.skel.h

PROGRAMS       := taskmon-collector taskmon-report
MAN_PAGES      := $(patsubst deploy/man/%,$(B)/man/%,$(wildcard deploy/man/*.[158]))
COMPLETIONS    := $(PROGRAMS:%=$(B)/completions/%) $(PROGRAMS:%=$(B)/completions/_%)

all: $(PROGRAMS:%=$(B)/%) $(MAN_PAGES) $(COMPLETIONS)

$(B)/taskmon-collector: $(COLLECTOR_OBJS) $(COMMON_OBJS)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(call pkg_libs,$(COLLECTOR_PKGS))

$(B)/taskmon-report: $(REPORTER_OBJS) $(COMMON_OBJS)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(call pkg_libs,$(REPORTER_PKGS)) -lm

# The generated protobuf header before anything that includes it.
$(COLLECTOR_OBJS) $(REPORTER_OBJS) $(COMMON_OBJS): | $(B)/gen/taskmon.pb-c.h
$(COLLECTOR_OBJS): | $(SKELETON)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) $(call pkg_cflags,$(COLLECTOR_PKGS)) -c -o $@ $<

$(B)/gen/taskmon.pb-c.o: $(B)/gen/taskmon.pb-c.c
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/gen/taskmon.pb-c.c $(B)/gen/taskmon.pb-c.h &: proto/taskmon.proto
	@mkdir -p $(B)/gen
	$(call say,PROTOC,$<)$(PROTOC) --proto_path=proto --c_out=$(B)/gen $<

# --- BPF: one object per concern, linked into one, one skeleton
BPF_CFLAGS := -target bpf -D__TARGET_ARCH_$(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/') -mcpu=v3 -O2 -g \
	      $(WARN) -Wno-unused-parameter -Ibpf -Icommon -idirafter /usr/include/$(shell uname -m)-linux-gnu

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) common/record.h common/metrics.def
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(B)/bpf/taskmon.o: $(BPF_OBJS)
	$(call say,BPFLINK,$@)$(BPFTOOL) gen object $@ $^

$(SKELETON): $(B)/bpf/taskmon.o
	@mkdir -p $(@D)
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name taskmon_bpf > $@.tmp && mv $@.tmp $@

# --- man pages and completion: what lists metrics or options is made of the table and of --help
$(B)/man/%: deploy/man/% deploy/man/metrics.awk common/metrics.def Makefile
	@mkdir -p $(@D)
	$(call say,MAN,$<)awk -f deploy/man/metrics.awk common/metrics.def > $@.metrics && \
		sed -e '/@METRICS@/r $@.metrics' -e '/@METRICS@/d' -e 's/@VERSION@/$(VERSION)/' $< > $@ && rm $@.metrics

complete = @mkdir -p $(@D); deploy/completions/generate $(1) $< common/metrics.def > $@
$(B)/completions/_%: $(B)/% deploy/completions/generate common/metrics.def
	$(call complete,zsh)
$(B)/completions/%: $(B)/% deploy/completions/generate common/metrics.def
	$(call complete,bash)

# --- tests
$(B)/workloads/%: tests/workloads/%.c $(wildcard tests/workloads/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -O2 -g -o $@ $< -pthread

# A unit test is linked with the program it is about: test_collector_* with the collector, all others with the reporter.
unit_objs = $(filter-out %/main.o,$(if $(findstring test_collector_,$(1)),$(COLLECTOR_OBJS),$(REPORTER_OBJS))) $(COMMON_OBJS)
$(UNIT_TESTS): $(B)/unit/%: tests/unit/%.c $(REPORTER_OBJS) $(COLLECTOR_OBJS) $(COMMON_OBJS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -I$(if $(findstring test_collector_,$@),collector,reporter) \
		-o $@ $< $(call unit_objs,$@) $(call pkg_libs,$(COLLECTOR_PKGS) cmocka) -lm

workloads: $(WORKLOADS)
unit-tests: $(UNIT_TESTS)
check: unit-tests
	@for t in $(UNIT_TESTS); do $$t || exit 1; done

asan:
	$(Q)$(MAKE) B=$(B)/asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' all unit-tests

# libFuzzer needs everything compiled by clang with its instrumentation, so the few files are compiled again.
$(B)/fuzz/fuzz_frames: common/frame.c common/wire.c common/arena.c common/metric.c common/str.c $(B)/gen/taskmon.pb-c.c
$(B)/fuzz/fuzz_collector_config: collector/config.c common/json_file.c common/str.c
$(B)/fuzz/fuzz_report_config: $(addprefix reporter/,config.c config_thresholds.c options.c option_values.c modules.c select.c \
	derive.c csv_tables.c output.c output_file.c threshold_rule.c threshold_judge.c threshold_stats.c) \
	common/json_file.c common/str.c common/metric.c common/log.c
$(B)/fuzz/fuzz_collector_rules: collector/rule.c common/metric.c common/str.c
$(B)/fuzz/fuzz_smaps: collector/rollup.c collector/access.c
$(B)/fuzz/%: tests/fuzz/%.c | $(B)/gen/taskmon.pb-c.h
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)$(CLANG) $(ALL_CFLAGS) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-I$(if $(findstring fuzz_report_,$@),reporter,collector) \
		-o $@ $(filter %.c,$^) $(call pkg_libs,$(COMMON_PKGS) libcjson popt) -lm
fuzz: $(FUZZERS)

# Of thresholds, without root.
$(B)/bench/thresholds: tests/bench/thresholds.c $(REPORTER_OBJS) $(COMMON_OBJS)
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -Ireporter -o $@ $< $(filter-out %/main.o,$(REPORTER_OBJS)) $(COMMON_OBJS) \
		$(call pkg_libs,$(REPORTER_PKGS)) -lm

bench: all workloads $(B)/bench/thresholds
	$(Q)$(B)/bench/thresholds
	$(Q)TASKMON_BUILD=$(B) tests/bench/run

install: all
	install -D -m 755 $(B)/taskmon-collector $(DESTDIR)$(sbindir)/taskmon-collector
	install -D -m 644 config/known-apps.json $(DESTDIR)$(datadir)/known-apps.json
	install -D -m 755 $(B)/taskmon-report $(DESTDIR)$(bindir)/taskmon-report
	for page in $(notdir $(MAN_PAGES)); do \
		install -D -m 644 $(B)/man/$$page $(DESTDIR)$(mandir)/man$${page##*.}/$$page || exit 1; \
	done
	for program in $(PROGRAMS); do \
		install -D -m 644 $(B)/completions/$$program $(DESTDIR)$(bashcompdir)/$$program && \
		install -D -m 644 $(B)/completions/_$$program $(DESTDIR)$(zshcompdir)/_$$program || exit 1; \
	done

clean:
	rm -rf $(B)

.PHONY: all check unit-tests workloads asan fuzz bench install clean
.DELETE_ON_ERROR:
.SECONDARY:

-include $(shell find $(B) -name '*.d' 2>/dev/null)
