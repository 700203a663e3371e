// Package arch has tests about the shape of the codebase: who may import whom
// (STYLE §1 and §4), what the binaries are made of, and whether documents,
// commands and pins say what is true. A failure is a sentence.
package arch
