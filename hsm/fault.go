package hsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

var (
	errClosed = errors.New("the token has been closed")
	// errGarbage is a worker that answers what nobody asked, or not in frames.
	errGarbage = ckr.Found(ckr.Module, "the worker sent no proper answer")
	// errSlow is an operation that a worker did not answer in time. The worker
	// may still do it; nobody knows.
	errSlow = ckr.Found(ckr.Module, "no answer from the worker in time")
)

// asFault says what a failure means to the caller, after the worker has
// settled what it could. A code that is still ambiguous comes from a worker
// that could not even ask its canary.
func asFault(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	switch ckr.ClassOf(err) {
	case ckr.Data:
		return fault.Wrap(fault.Damaged, "the stored value does not open", err)
	case ckr.Capability:
		return fmt.Errorf("token refuses the operation: %w", err)
	}
	return unavailable(err)
}

func unavailable(cause error) error {
	return fault.Wrap(fault.Unavailable, "key hardware is unavailable", cause)
}

// received turns what a worker answered back into an error. A class that this
// server does not know is nobody's promise.
func received(f frame.Failure) error {
	class := ckr.Class(f.Class)
	if class > ckr.Capability {
		class = ckr.Ambiguous
	}
	return &ckr.Error{Call: f.Call, Code: ckr.Code(f.Code), Class: class}
}

// className is an outcome as metrics show it.
func className(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errSlow), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	}
	return ckr.ClassOf(err).String()
}
