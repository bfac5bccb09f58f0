package orderstatus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// problem is an answer that is an error, as RFC 9457 writes it.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"` // of the request, that is at fault
}

func (p *problem) Error() string { return p.Detail }

func refuse(status int, field, format string, args ...any) *problem {
	return &problem{http.StatusText(status), status, fmt.Sprintf(format, args...), field}
}

// problemOf tells an error to a client of HTTP.
func problemOf(err error) *problem {
	var p *problem
	var invalid *order.Invalid
	var refused *requestreply.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return refuse(http.StatusBadRequest, invalid.Field, "%s", invalid.Reason)
	case errors.As(err, &refused) && refused.Code == orderstorage.NotFound:
		return refuse(http.StatusNotFound, "", "%s", refused.Text)
	case errors.As(err, &refused) && refused.Code == orderstorage.Reused:
		return refuse(http.StatusUnprocessableEntity, "Idempotency-Key", "was used for another order; use a new one")
	case errors.Is(err, requestreply.ErrNoResponders), errors.As(err, &refused) && refused.Code == "503":
		return refuse(http.StatusServiceUnavailable, "", "a service is away; try again, with the same Idempotency-Key")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "", "a service did not answer; try again, with the same Idempotency-Key")
	}
	return refuse(http.StatusInternalServerError, "", "something went wrong here")
}

// bodyProblem tells what is wrong with a JSON body, and where.
func bodyProblem(err error) *problem {
	var large *http.MaxBytesError
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, "", "the body may have %d bytes", large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "", "the body did not come within %v", patience)
	case errors.As(err, &wrong):
		return refuse(http.StatusBadRequest, wrong.Field, "cannot be a %s", wrong.Value)
	case errors.As(err, &syntax):
		return refuse(http.StatusBadRequest, "", "the body is no JSON: %v, at byte %d", err, syntax.Offset)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return refuse(http.StatusBadRequest, strings.Trim(field, `"`), "is not a field of an order")
	}
	return refuse(http.StatusBadRequest, "", "the body is no JSON of an order: %v", err)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	if _, ok := v.(*problem); ok {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone hears nothing
}
