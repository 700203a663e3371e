package main

import (
	"errors"
	"runtime"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/order/keypair"
	"github.com/strongroom-kms/strongroom/secret"
)

// buildOrders makes the service of orders. Its workers stop before the token
// and the database do, so that they can give back what they are at.
func (p *parts) buildOrders(newEventID func() string) {
	// Half of the processors, so that requests are answered while primes are
	// looked for.
	pairs := max(1, runtime.NumCPU()/2)
	p.orders = order.NewService(order.Deps{
		Store:          p.db,
		Sealer:         p.sealer,
		Random:         p.sealer,
		Pairs:          keypair.NewMaker(pairs),
		Judge:          p.judge,
		Recorder:       p.records,
		NewID:          func() order.ID { return order.ID(uuid.NewString()) },
		NewSecretID:    func() secret.ID { return secret.ID(uuid.NewString()) },
		NewContainerID: func() container.ID { return container.ID(uuid.NewString()) },
		NewEventID:     newEventID,
		Now:            time.Now,
		Places:         map[order.Kind]int{order.Asymmetric: pairs},
		Ended:          p.orderEnded,
	})
	p.down = append(p.down, p.orders.Close)
}

// orderEnded counts a piece of work on an order, and says what a client is not
// told.
func (p *parts) orderEnded(o order.Order, took time.Duration, err error) {
	p.metrics.Job("order-"+string(o.Kind), took, err)
	if err == nil {
		return
	}
	log := p.log.With(zap.String("order", string(o.ID)), zap.String("status", string(o.Status)), zap.Error(err))
	switch {
	case errors.Is(err, order.ErrLost):
		log.Info("an order was deleted or taken over meanwhile")
	case o.Status == order.Pending:
		log.Warn("an order was given back, to be tried again")
	default:
		log.Error("an order was not carried out")
	}
}
