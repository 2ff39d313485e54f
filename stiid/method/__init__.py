"""The paper in reading order; each function's docstring repeats the formula of its equation.

========== ================================================= ===================================
equation   formula                                           function
========== ================================================= ===================================
Eq. 1      p(x|z) = Π_i Σ_k m_ik N(x_i; μ_ik, σ²)            ``likelihood.log_likelihood``
Eq. 1      m = softmax over slots                            ``likelihood.slot_masks``
Eq. 1      x̃ = Σ_k m_k μ_k                                   ``likelihood.mix``
Eq. 3      L = β log p(x_t|z) − ψ KL(q_λ(z) ‖ p(z)), ∇L      ``elbo.evaluate``,
                                                             ``elbo.evaluate_with_gradients``
Eq. 3      KL(q ‖ p) of diagonal Gaussians                   ``latents.kl_divergence``
Eq. 4      z ~ q_λ                                           ``latents.sample``
Eq. 4      λ_{r+1} = λ_r + f_φ(a, h_{t,r−1}, h_{t−1,R̂})      ``refinement.refine``,
                                                             ``latents.update``
Eq. 5      p(z_t|x_<t, z_<t) = N(μ_t, σ_t²) by ξ_θ(h)        ``generation.frame_prior``
Eq. 6      [m, μ_x] = g_θ(z, h)                              ``generation.decode``,
                                                             ``likelihood.log_likelihood``
Eq. 7      Σ_t Σ_r w_r L + γ Σ_i Σ_k m_ik log m_ik           ``objective.loss``
========== ================================================= ===================================

Eq. 2 is Eq. 4 without the time axis (IODINE). R̂ = max(R − t, 1) of section 3.2.1 is
``schedule.schedule``; the grid of cells (t, r) in Fig. 2a is ``inference.infer_video``, which also
simulates frames (section 3.2.3); ``simulation`` is another way to do so, not in the paper.

Each file has a class of options for the code in it, which inherits those of the files that it
builds on; ``inference.Inference`` has all of them. What the paper does not have comes last in each.
"""
