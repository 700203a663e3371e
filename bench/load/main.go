// Command load runs a closed loop over HTTP against `strongroom dev` and
// prints what a request costs: requests per second, latency, SQL round trips,
// token calls, and the CPU time of server, worker and PostgreSQL together.
//
// It also runs the floor (package bench/floor): a bare handler that does no
// more than one statement, one token call and one AES-GCM. The ratio to the
// floor, measured in the same run, is what may be compared between machines.
//
// It starts both itself, talks to loopback alone, and ends after its time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

type options struct {
	bin, floor  string
	connections int
	payload     int
	duration    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin/strongroom", "the server")
	flag.StringVar(&o.floor, "floor", "bin/floor", "the floor handler")
	flag.IntVar(&o.connections, "connections", 8, "connections that each have one request under way")
	flag.IntVar(&o.payload, "payload", 1024, "bytes of each payload")
	flag.DurationVar(&o.duration, "duration", 8*time.Second, "of each scenario")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dev, err := devserver.Start(ctx, o.bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()

	product, err := measureProduct(ctx, o, dev)
	if err != nil {
		return err
	}
	floor, err := measureFloor(ctx, o, dev)
	if err != nil {
		return err
	}
	printTable(os.Stdout, o, product, floor)
	return nil
}
