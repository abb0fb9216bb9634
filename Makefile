# Every wish is one target; `make help` lists them. Set-up is lazy: what is already there is not made again.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
TARGET  ?=
DEMO    := demo
STATE   ?=
# Exit code 30 alone does not tell a scan with errors from one that could not start; the summary in its report does.
REPORT  := build/scan.report
SECONDS ?= 10
REQUESTS ?= 1000000
MESSAGES ?= 20000
ASAN_TESTS ?= tests/unit tests/contract tests/integration tests/robustness

SYSTEM_PACKAGES := pkg-config gcc libvectorscan-dev libarchive-dev zlib1g-dev libdeflate-dev liblzma-dev libpcre2-dev libpng-dev libjpeg-dev libtiff-dev libssl-dev \
                   libseccomp-dev libgmime-3.0-dev python3-dev python3-venv
TEST_PACKAGES   := amavisd-new clamav clamav-daemon clamav-milter clamdscan exim4-daemon-heavy m4 clamav-testfiles zip p7zip-full genisoimage lhasa clang clang-format libclang-rt-dev \
                   fd-find strace xfsprogs btrfs-progs man-db mandoc zsh fish systemd cron logrotate \
                   libreoffice-writer-nogui libreoffice-calc-nogui libreoffice-impress-nogui \
                   dpkg-dev lintian python3-psutil python3-cryptography python3-watchdog python3-prometheus-client
# Cannot be installed beside the others, so they are unpacked into build/apart. Where two have a file (/usr/sbin/sendmail)
# that of the first stays.
APART_PACKAGES  := postfix rspamd libhyperscan5 libluajit2-5.1-2 sendmail-bin sendmail-cf libwrap0 opensmtpd
HEADERS         := libhs libarchive zlib libdeflate liblzma libpcre2-8 libpng libjpeg libtiff-4 libcrypto libseccomp gmime-3.0
PYTHON_HAS_ALL  := import ensurepip, os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")
SYSTEM_CHECK     = pkg-config --exists $(HEADERS) && gcc --version && $(PYTHON) -c '$(PYTHON_HAS_ALL)'

.DEFAULT_GOAL := help
.PHONY: help scan system system-test build test test-long test-differential check format bench soak fuzz asan man dist clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 14

scan: build  ## scan a demonstration tree and /usr/bin, or TARGET=/some/folder; prints kavscanner's exit code
	@$(BIN)/python -m kavfs.cli.demo $(DEMO)
	@mkdir -p build; rm -f $(REPORT); \
	set -- $(if $(TARGET),"$$TARGET",$(DEMO) /usr/bin); status=0; \
	$(BIN)/kavscanner -xn -o $(REPORT) -mn -j3 $(if $(STATE),--state "$$STATE") -- "$$@" || status=$$?; \
	echo "kavscanner's exit code: $$status, report: $(REPORT)"; \
	grep -qs '^\[[^]]* I\] Scan finished$$' $(REPORT) || exit $$((status ? status : 1))

system:  ## install the system packages that are missing (root), or print the line that does
	@$(call install_missing,$(SYSTEM_PACKAGES),$(SYSTEM_CHECK))

system-test:  ## the same for what the tests and benchmarks need besides
	@$(call install_missing,$(TEST_PACKAGES),dpkg -s $(TEST_PACKAGES))
	@for name in $(APART_PACKAGES); do \
	    if [ ! -e build/apart/$$name ]; then \
	        mkdir -p build/apart && cd build/apart && rm -f *.deb && \
	        { apt-get download -qq $$name 2>/dev/null || { apt-get update -qq && apt-get download -qq $$name; }; } && \
	        dpkg-deb --fsys-tarfile $$name*.deb | tar -x --skip-old-files && touch $$name && rm -f *.deb && cd ../.. || exit 1; \
	    fi; \
	done

# $(1) packages, $(2) a command that succeeds when all are there
define install_missing
	if ( $(2) ) >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
	    echo "System packages are missing. As root, run:"; \
	    echo "    apt-get install -y --no-install-recommends $(1)"; exit 1; \
	fi; \
	echo "installing system packages: $(1)"; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null
endef

$(BIN)/python: | system
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tools: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check setuptools==84.2.1 Cython==3.3.1
	@touch $@

$(VENV)/.test-tools: pyproject.toml $(VENV)/.built
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --config-settings editable_mode=compat \
	    -e '.[test,check,bench]'
	@touch $@

SOURCES := setup.py pyproject.toml $(wildcard ext/*/*.c ext/*/*.h ext/*/*.pyx ext/*/*.pxd)

$(VENV)/.built: $(SOURCES) $(VENV)/.tools
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --config-settings editable_mode=compat -e .
	@$(BIN)/python -m compileall -q kavfs
	@touch $@

build: system $(VENV)/.built  ## set everything up: system packages, .venv, extensions

test: build system-test $(VENV)/.test-tools  ## the tests, within minutes
	$(BIN)/python -m pytest -m "not long"

test-long: build system-test $(VENV)/.test-tools  ## the long tests too
	$(BIN)/python -m pytest

test-differential: build system-test $(VENV)/.test-tools  ## all signatures, and files of this machine, against ClamAV (an hour)
	$(BIN)/python -m pytest tests/differential

check: build system-test $(VENV)/.test-tools  ## formatters, linters, types, warnings as errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	clang-format --dry-run -Werror $(wildcard ext/*/*.c ext/*/*.h)
	for f in $(wildcard ext/*/*.c); do \
	    gcc -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -fsyntax-only $(addprefix -I,$(wildcard ext/*)) \
	        $$(pkg-config --cflags $(HEADERS)) $$f || exit 1; \
	done

format: build $(VENV)/.test-tools  ## let the formatters write
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .
	clang-format -i $(wildcard ext/*/*.c ext/*/*.h)

bench: build system-test $(VENV)/.test-tools  ## kernels, then every scenario beside a floor in C, clamd, fd and find
	$(BIN)/python -m pytest benchmarks -q --benchmark-only
	$(BIN)/python -m benchmarks.side_by_side

fuzz: build system-test $(VENV)/.test-tools  ## every parser against broken input, SECONDS=10 each
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

soak: build system-test $(VENV)/.test-tools  ## daemons under a million requests (REQUESTS=), mail under kill -9 (MESSAGES=20000)
	$(BIN)/python -m tests.soak --requests $(REQUESTS)
	$(BIN)/python -m tests.soak.mail --messages $(MESSAGES)

# Left out: what puts a limit on the address space, in which there is no room for the shadow then; formatters of other
# people, which err; and the rules of the project, which have nothing to do with C.
asan: build system-test $(VENV)/.test-tools  ## all tests on C parts under AddressSanitizer and UndefinedBehaviorSanitizer (an hour)
	rm -rf build/asan && mkdir -p build/asan
	git ls-files -z | tar --null -T - -cf - | tar -xf - -C build/asan
	cd build/asan && KAVFS_SANITIZE=1 $(CURDIR)/$(BIN)/python setup.py -q build_clib build_ext --inplace
	cd build/asan && PYTHONPATH="$$PWD" \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(CURDIR)/$(BIN)/python -m pytest -q -m "not long" -p no:cacheprovider $(ASAN_TESTS) \
	    --ignore tests/integration/test_manual_pages.py \
	    -k "not dictionary_larger_than_memory and not test_memory_limit and not no_more_memory_than_its_own_bound"

man: build  ## manual pages and completions of bash, zsh and fish, in build/share
	$(BIN)/python -m kavfs.cli.manual conf build/share

# LDSHARED: a Python that was built by hand would leave the folder of its own libraries in ours.
dist: man  ## a wheel and a Debian package, in dist
	rm -rf build/lib.* dist
	LDSHARED="gcc -shared" $(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	conf/debian/build.sh "$$(ls -t dist/*.whl | head -n 1)" build/share dist

clean:  ## remove what was built (not the demonstration tree)
	rm -rf $(VENV) build dist *.egg-info kavfs/_native/*.so
