package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// printTable prints what was measured, with the ratio to the floor where the
// floor has the same scenario.
func printTable(w io.Writer, o options, product, floor []result) {
	fmt.Fprintf(w, "%d connections, %d-byte payloads, %v a scenario; CPU in ms per request\n\n",
		o.connections, o.payload, o.duration)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\treq/s\tp50\tp99\tSQL\ttoken\tserver\tworker\tPostgreSQL\tCPU\tratio\tother answers\t")
	floors := map[string]time.Duration{}
	for _, r := range floor {
		floors[r.name] = r.perRequest()
		line(t, "floor: "+r.name, r, 0)
	}
	for _, r := range product {
		line(t, r.name, r, floors[r.name])
	}
	_ = t.Flush() // a terminal that went away
}

func line(t io.Writer, name string, r result, floor time.Duration) {
	n := time.Duration(max(r.requests, 1))
	ratio := "-"
	if floor > 0 {
		ratio = fmt.Sprintf("%.2f", float64(r.perRequest())/float64(floor))
	}
	fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%d\t\n",
		name, float64(r.requests)/r.took.Seconds(), ms(r.p50), ms(r.p99), r.sql, r.tokens,
		cost(r.spent.server/n), cost(r.spent.worker/n), cost(r.spent.postgres/n), cost(r.perRequest()), ratio, r.otherStatuses)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func cost(d time.Duration) string { return fmt.Sprintf("%.3f", ms(d)) }
