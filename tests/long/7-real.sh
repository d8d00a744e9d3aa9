#!/bin/bash
# Everyday programs as judges, all of them: tests/real.
exec bash "$(dirname "$0")/../real/real.sh" long
