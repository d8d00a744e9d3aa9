#!/bin/bash
# 18 - everyday programs as judges, the quick half: tests/real.
exec bash "$(dirname "$0")/../real/real.sh" quick
