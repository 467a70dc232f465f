# Short names for the scripts, for those who have just (https://just.systems). The scripts do not need it.

[private]
default:
    @just --list

# the whole service on servers of its own
dev *arguments:
    scripts/dev {{arguments}}

# every test, on the real servers; arguments go to pytest
test *arguments:
    scripts/test {{arguments}}

# random faults at random times: --minutes N --seed S
soak *arguments:
    scripts/soak {{arguments}}

# lint, format, types and imports, or the parts named
check *parts:
    scripts/check {{parts}}

# fix what a machine can fix
fix:
    scripts/check fix

# the lock files from pyproject.toml; --upgrade takes the newest versions
lock *arguments:
    scripts/lock {{arguments}}

# the packages of the image as a CycloneDX bill of materials
sbom:
    scripts/sbom

# what must hold before a change lands
ci *arguments:
    .ci/run {{arguments}}
