// Package policytest has who may do what through Barbican's API, as tables
// written down from the specification (barbican.md §19.2, §19.3) and not from
// the rules: what the engine and the API are both held against.
package policytest
