package schema_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/schema"
)

type list[T any] struct {
	Items []T `json:"items"`
}

func textItem() any {
	type item struct {
		V string `json:"v"`
	}
	return item{"x"}
}

func priceItem() any {
	type item struct {
		V int `json:"v"`
	}
	return item{7}
}

// A value that was encoded is decoded to the same value, whatever its type is called.
func TestRoundTrip(t *testing.T) {
	type item struct {
		V bool `json:"v"`
	}
	roundTrip := func(v any, read func() (any, error)) {
		got, err := read()
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	generic := list[list[item]]{[]list[item]{{[]item{{true}}}}}
	roundTrip(generic, func() (any, error) {
		typ := must(schema.Define[list[list[item]]]("list"))
		h, data, err := typ.Encode(generic)
		require.NoError(t, err)
		return typ.Decode(h, data)
	})
	type bag struct {
		V map[string]any `json:"v"`
	}
	roundTrip(bag{map[string]any{"n": json.Number("9007199254740993")}}, func() (any, error) {
		typ := must(schema.Define[bag]("any"))
		h, data, err := typ.Encode(bag{map[string]any{"n": int64(9007199254740993)}}) // a float64 would be 9007199254740992
		require.NoError(t, err)
		return typ.Decode(h, data)
	})
	text, price := textItem(), priceItem() // two types called item
	both := reflect.StructOf([]reflect.StructField{{Name: "Text", Type: reflect.TypeOf(text)}, {Name: "Price", Type: reflect.TypeOf(price)}})
	v := reflect.New(both).Elem()
	v.Field(0).Set(reflect.ValueOf(text))
	v.Field(1).Set(reflect.ValueOf(price))
	require.NoError(t, must(schema.Generate(both)).Strictly(must(json.Marshal(v.Interface()))))
}
