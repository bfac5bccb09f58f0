package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// A visit to a clinic in three versions. Version 2 adds a field; version 3 splits a
// field that readers of the older versions need.
type (
	VisitV1 struct {
		Patient string `json:"patient" jsonschema:"minLength=1"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
	}
	VisitV2 struct {
		Patient string `json:"patient" jsonschema:"minLength=1"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
		Room    string `json:"room,omitempty"`
	}
	VisitV3 struct {
		Patient string   `json:"patient" jsonschema:"minLength=1"`
		Given   string   `json:"given"`
		Family  string   `json:"family"`
		Minutes int      `json:"minutes"`
		Room    string   `json:"room,omitempty"`
		Urgency string   `json:"urgency" jsonschema:"enum=low,enum=high"`
		Drugs   []string `json:"drugs,omitempty"`
	}
)

func oneToTwo(v VisitV1) (VisitV2, error) {
	return VisitV2{v.Patient, v.Name, v.Minutes, "reception"}, nil
}

func twoToThree(v VisitV2) (VisitV3, error) {
	given, family, ok := strings.Cut(v.Name, " ")
	if !ok {
		return VisitV3{}, fmt.Errorf("%q has no family name", v.Name)
	}
	return VisitV3{Patient: v.Patient, Given: given, Family: family, Minutes: v.Minutes, Room: v.Room, Urgency: "low"}, nil
}

func visits(t testing.TB) (one *schema.Type[VisitV1], two *schema.Type[VisitV2], three *schema.Type[VisitV3]) {
	return must(schema.Define[VisitV1]("visit")), must(schema.Define[VisitV2]("visit", schema.Extend(oneToTwo))),
		must(schema.Define[VisitV3]("visit", schema.Extend(oneToTwo), schema.Replace(twoToThree)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// as returns a message with a format indicator and any payload.
func as(name string, version, since int, body string) *nats.Msg {
	return &nats.Msg{Subject: "visits.ann", Data: []byte(body), Header: nats.Header{"Content-Type": {"application/json"},
		schema.HeaderName: {name}, schema.HeaderVersion: {fmt.Sprint(version)}, schema.HeaderSince: {fmt.Sprint(since)}}}
}
