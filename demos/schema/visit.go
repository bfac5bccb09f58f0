package main

import (
	"context"

	"github.com/natspatterns/catalog/patterns/encrypt"
	"github.com/natspatterns/catalog/patterns/schema"
)

// A visit in its three versions.
type (
	visit1 struct {
		Patient string `json:"patient"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
	}
	visit2 struct {
		Patient string `json:"patient"`
		Name    string `json:"name"`
		Minutes int    `json:"minutes"`
		Room    string `json:"room,omitempty"`
	}
	visit3 struct {
		Patient string `json:"patient"`
		Sealed  []byte `json:"sealed"` // the name, encrypted with the key of the patient
		Minutes int    `json:"minutes"`
		Room    string `json:"room,omitempty"`
	}
)

func oneToTwo(v visit1) (visit2, error) {
	return visit2{v.Patient, v.Name, v.Minutes, "unknown"}, nil
}

// form3 is the type with version 3. Its upcast encrypts the name of an older version.
func form3(ctx context.Context, v *encrypt.Vault) (*schema.Type[visit3], error) {
	return schema.Define[visit3]("visit", schema.Extend(oneToTwo), schema.Replace(func(old visit2) (visit3, error) {
		sealed, err := v.Seal(ctx, old.Patient, []byte(old.Name))
		return visit3{old.Patient, sealed, old.Minutes, old.Room}, err
	}))
}
