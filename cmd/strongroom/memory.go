package main

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to five times what is live before it is
// collected, instead of two. What is live is a few megabytes, so a collection
// came every few milliseconds under load and took a tenth of the CPU.
const gcPercent = 400

// tuneMemory sets that, unless the environment says otherwise.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
