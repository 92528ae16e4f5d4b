//! SAMIL's network (arXiv 2306.00003): instances of a bag become one representation by two branches of attention, of which
//! one is supervised. Names are the authors'; their convolutions (`feature_extractor_part1`) are a frozen network here.

use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Values of an instance that enters.
    pub inputs: i64,
    /// Values of an instance inside, and of a bag.
    pub hidden: i64,
    /// Values between the two layers that follow the supervised branch.
    pub middle: i64,
    /// Values inside each branch of attention.
    pub attention: i64,
    /// Outputs.
    pub classes: i64,
}

struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(path: &Path, inputs: i64, outputs: i64) -> Linear {
        Linear {
            weight: path.var("weight", &[outputs, inputs], Init::Const(0.0)),
            bias: path.var("bias", &[outputs], Init::Const(0.0)),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// One branch of attention: a value for each instance.
struct Branch([Linear; 2]);

impl Branch {
    fn new(path: &Path, shape: Shape) -> Branch {
        Branch([
            Linear::new(&(path / "0"), shape.hidden, shape.attention),
            Linear::new(&(path / "2"), shape.attention, 1),
        ])
    }

    /// `[1, n]`, the logarithm of what sums to 1 over the bag.
    fn forward(&self, instances: &Tensor) -> Tensor {
        let [first, second] = &self.0;
        second.forward(&first.forward(instances).tanh()).transpose(0, 1).log_softmax(1, None::<Kind>)
    }
}

/// The whole network behind the frozen one.
pub struct SupervisedAttention {
    entrance: Linear,
    deeper: [Linear; 2],
    supervised: Branch,
    free: Branch,
    classifier: Linear,
}

/// What the network makes of one bag of `n` instances.
pub struct Bag {
    /// Logarithm of the supervised branch's attention, `[1, n]`.
    pub log_supervised: Tensor,
    /// Logarithm of the free branch's attention, `[1, n]`.
    pub log_free: Tensor,
    /// Their product, scaled to sum to 1: `[1, n]`.
    pub attention: Tensor,
    /// Instances after the deeper layers, weighed by the attention: `[1, hidden]`.
    pub representation: Tensor,
    /// `[1, classes]`.
    pub logits: Tensor,
}

impl SupervisedAttention {
    /// Declares its variables below `path`, all zero until they are filled.
    pub fn new(path: &Path, shape: Shape) -> SupervisedAttention {
        let Shape { inputs, hidden, middle, classes, .. } = shape;
        let deeper = path / "feature_extractor_part3";
        SupervisedAttention {
            entrance: Linear::new(&(path / "feature_extractor_part2" / "0"), inputs, hidden),
            deeper: [
                Linear::new(&(&deeper / "0"), hidden, middle),
                Linear::new(&(&deeper / "2"), middle, hidden),
            ],
            supervised: Branch::new(&(path / "attention_V"), shape),
            free: Branch::new(&(path / "attention_U"), shape),
            classifier: Linear::new(&(path / "classifier" / "0"), hidden, classes),
        }
    }

    /// Instances `[n, inputs]` as the branches see them, `[n, hidden]`.
    pub fn enter(&self, instances: &Tensor) -> Tensor {
        self.entrance.forward(instances).relu()
    }

    /// What the free branch sees and the bag is made of, `[n, hidden]`: the supervised branch sees what comes before.
    pub fn deepen(&self, entered: &Tensor) -> Tensor {
        let [first, second] = &self.deeper;
        second.forward(&first.forward(entered).relu()).relu()
    }

    /// One bag of instances that have entered.
    pub fn pool(&self, entered: &Tensor) -> Bag {
        let log_supervised = self.supervised.forward(entered);
        let deep = self.deepen(entered);
        let log_free = self.free.forward(&deep);
        // As the product over its sum, where a product would underflow.
        let attention = (&log_supervised + &log_free).softmax(1, None::<Kind>);
        let representation = attention.matmul(&deep);
        let logits = self.classifier.forward(&representation);
        Bag { log_supervised, log_free, attention, representation, logits }
    }

    /// One bag of instances `[n, inputs]`.
    pub fn forward(&self, instances: &Tensor) -> Bag {
        self.pool(&self.enter(instances))
    }
}

/// Two layers behind a representation, for contrast with others: `[n, hidden]` to `[n, outputs]` of length 1.
pub struct Head([Linear; 2]);

impl Head {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, hidden: i64, outputs: i64) -> Head {
        Head([Linear::new(&(path / "0"), hidden, hidden), Linear::new(&(path / "2"), hidden, outputs)])
    }

    /// Directions of representations.
    pub fn forward(&self, representations: &Tensor) -> Tensor {
        let [first, second] = &self.0;
        let projected = second.forward(&first.forward(representations).relu());
        let length = projected.square().sum_dim_intlist(1, true, None::<Kind>).sqrt().clamp_min(1e-12);
        projected / length
    }
}
